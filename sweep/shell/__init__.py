"""The command line: its arguments, the shipped configs, and the completion of words in a shell.

    arguments     the arguments of `sweep.launch`, and the parser of all commands
    copy_configs  the command `unlearn-sweep configs`: list the shipped configs, or copy some
    keys          the command `unlearn-sweep keys`: explain the keys of a config
    completion    words that may come next on a command line

The commands import it; it imports config alone.
"""

"""Errors that end a command, a sweep or a trial with a message for the user."""

from sweep.redaction import redact, to_single_line


class ConfigError(ValueError):
    """Invalid input; the message is one sentence with the key, the value and the allowed values."""

    def __init__(self, message: str) -> None:
        """Store the message as a single line, with the passwords in its URLs redacted."""
        super().__init__(to_single_line(redact(message)))


OUT_OF_MEMORY_REASON = "memory ran out"
"""Prefix of a trial's failure reason if memory ran out and its process survived to report it."""


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` arrived. It is no Exception, because Ray Tune would treat one as its own failure."""

    def __init__(self, signum: int) -> None:
        """Store the signal's number."""
        super().__init__(signum)
        self.signum = signum


class BrokenOffError(BaseException):
    """Failure of something a sweep needs: the sweep stops and can be resumed later. It is no Exception either.

    The message is a sentence without its final full stop.
    """


class SweepFailedError(RuntimeError):
    """A sweep that `run_sweep` ran stopped, because something that it needs failed; it can be resumed."""


class ProcessDiedError(Exception):
    """Death of one of a trial's processes; another attempt may succeed."""

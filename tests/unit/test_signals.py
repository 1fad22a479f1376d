"""Signals: noted where they come, raised where it is asked, and what a process does that nothing else can end."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.commands import ROOT, Command
from sweep.interrupts import SIGNALS, Interrupted, Interrupts

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")


def ended(code: str) -> "subprocess.CompletedProcess[str]":
    """A Python process with this code, which has everything of the module, `os` and `signal`."""
    front = "import os, signal\nfrom sweep.interrupts import *\n"
    return subprocess.run([sys.executable, "-c", front + code], cwd=ROOT, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize("signum", SIGNALS[:2])
def test_a_signal_is_noted_and_raised_where_it_is_asked(signum: signal.Signals) -> None:
    """Not where it comes; afterwards whoever had the signal has it again."""
    before = signal.getsignal(signum)
    with Interrupts(str) as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted) as raised:
            interrupts.check()
    assert raised.value.signum == signum
    assert signal.getsignal(signum) == before


def test_a_signal_may_be_raised_where_it_comes() -> None:
    """Once that is allowed; one that came before is raised there and then."""
    with Interrupts(str) as interrupts:
        interrupts.raise_at_once()
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    with Interrupts(str) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            interrupts.raise_at_once()


@pytest.mark.parametrize("first", ["pass", "interrupts.raise_at_once()"])
def test_a_second_signal_ends_at_once(first: str) -> None:
    """With the code of the first, and without a word."""
    code = f"""
with Interrupts(str) as interrupts:
    {first}
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Interrupted:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    print("it goes on")
"""
    done = ended(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_nobody_reads_what_is_printed() -> None:
    """A reader that has gone, as `head` does, ends the sweep cleanly; what is still printed goes nowhere."""
    code = """
from sweep.interrupts import *
with Interrupts(str) as interrupts:
    try:
        while True:
            interrupts.check()
    except Interrupted as stop:
        print("nobody reads this", flush=True)
        raise SystemExit(128 + stop.signum)
"""
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)  # noqa: S603
    os.close(writer)
    os.close(reader)
    assert process.communicate()[1] == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_what_breaks_ends_the_process() -> None:
    """One sentence with how to go on, from another thread while the first one waits."""
    code = """
import threading
interrupts = Interrupts(lambda: "give it again")
threading.Thread(target=interrupts.end, args=["the cluster is lost"]).start()
threading.Event().wait()
"""
    done = ended(code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the cluster is lost; to go on: give it again\n"


def test_a_terminal_that_is_closed() -> None:
    """A process that it does not end goes on, and what it prints goes nowhere."""
    code = """
import sys
from sweep.interrupts import *
with Interrupts(str) as interrupts:
    while not unread() and sys.stdout.isatty():
        pass
    interrupts.check()
    print("nobody reads this", flush=True)
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE)  # noqa: S603
    os.close(theirs)
    os.close(ours)
    assert process.communicate()[1] == b""
    assert process.returncode == 0


def test_nohup_is_respected() -> None:
    """A SIGHUP that is ignored stays so."""
    done = ended("""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with Interrupts(str) as interrupts:
    os.kill(os.getpid(), signal.SIGHUP)
    interrupts.check()
""")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "words"), [("sweep.launch", (WTNPO, "--dry-run")), ("sweep.sync", ("x",)), ("sweep.report", ("x",))]
)
def test_control_c_while_a_command_imports(tmp_path: Path, module: str, words: tuple[str, ...]) -> None:
    """130 and not a word, in the middle of what takes longest until it is known what was typed."""
    command = Command(tmp_path, *words, module=module, variables={"PYTHONPATH": str(ROOT)})
    maps = Path(f"/proc/{command.pid}/maps")
    while "pydantic_core" not in maps.read_text():
        time.sleep(0.005)
    command.signal(signal.SIGINT)
    assert command.end() == 130, command.said()
    assert command.said() == ""


def test_a_command_that_is_done_collects_nothing() -> None:
    """What Python tracks is set aside at the end: its last collection finds nothing."""
    done = ended("""
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))
exit_at_once()
print(gc.get_freeze_count())
""")
    first, last = map(int, done.stdout.split())
    assert (first, done.stderr) == (0, "")
    assert last > 1000

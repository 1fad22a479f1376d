"""What signals do to a process that nothing else can end, and how it ends by itself."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import ROOT, Command
from support.waiting import until

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")
ENDLESS = """
import time
from pathlib import Path

Path(__file__).with_name("begun").touch()
time.sleep(600)
"""
"""A module that takes long to import."""


def ended(code: str) -> "subprocess.CompletedProcess[str]":
    """A Python process with this code, which has everything of the module, `os` and `signal`."""
    front = "import os, signal\nfrom sweep.errors import *\nfrom sweep.signals import *\n"
    return subprocess.run([sys.executable, "-c", front + code], cwd=ROOT, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize(
    ("first", "second"), [("pass", "SIGINT"), ("pass", "SIGTERM"), ("interrupts.raise_on_signal()", "SIGTERM")]
)
def test_a_second_signal_ends_at_once(first: str, second: str) -> None:
    """With the code of the first, whether it is of the same kind or not, a word, and a process that this one started.

    A third one changes nothing: it comes while the second one is answered.
    """
    code = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # holds the output open while it lives

def answer():
    os.kill(os.getpid(), signal.SIGINT)
    return "again"

with InterruptHandler(answer) as interrupts:
    {first}
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Interrupted:
        pass
    os.kill(os.getpid(), signal.{second})
    print("it goes on")
"""
    done = ended(code)
    assert done.returncode == 130
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("", "stopped at once; to go on: again")


def test_nobody_reads_what_is_printed() -> None:
    """A reader that has gone, as `head` does, ends the sweep cleanly; what is still printed goes nowhere."""
    code = """
from sweep.errors import *
from sweep.signals import *
with InterruptHandler(str) as interrupts:
    try:
        while True:
            interrupts.raise_if_interrupted()
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
interrupts = InterruptHandler(lambda: "give it again")
threading.Thread(target=interrupts.abort_process, args=["the cluster is lost"]).start()
threading.Event().wait()
"""
    done = ended(code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the cluster is lost; to go on: give it again\n"


def test_a_terminal_that_is_closed() -> None:
    """A process that it does not end goes on, and what it prints goes nowhere."""
    code = """
import sys
from sweep.errors import *
from sweep.signals import *
with InterruptHandler(str) as interrupts:
    while not stdout_closed() and sys.stdout.isatty():
        pass
    interrupts.raise_if_interrupted()
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
with InterruptHandler(str) as interrupts:
    os.kill(os.getpid(), signal.SIGHUP)
    interrupts.raise_if_interrupted()
""")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "words"), [("sweep.launch", (WTNPO, "--dry-run")), ("sweep.sync", ("x",)), ("sweep.report", ("x",))]
)
def test_control_c_while_a_command_imports(tmp_path: Path, module: str, words: tuple[str, ...]) -> None:
    """130 and not a word, in the middle of what takes longest until it is known what was typed."""
    stands_in = tmp_path / "first" / "pydantic.py"
    stands_in.parent.mkdir()
    stands_in.write_text(ENDLESS)
    variables = {"PYTHONPATH": f"{stands_in.parent}:{ROOT}"}
    command = Command(tmp_path, *words, module=module, variables=variables)
    until(lambda: command.over or stands_in.with_name("begun").exists())
    command.signal(signal.SIGINT)
    assert command.end() == 130, command.said()
    assert command.said() == ""


def test_a_command_that_is_done_collects_nothing() -> None:
    """What Python tracks is set aside at the end: its last collection finds nothing."""
    done = ended("""
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))
enable_fast_exit()
print(gc.get_freeze_count())
""")
    first, last = map(int, done.stdout.split())
    assert (first, done.stderr) == (0, "")
    assert last > 1000

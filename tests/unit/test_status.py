"""The status of a command that starts: what a pipe gets, and what stays silent."""

import sys

import pytest

from sweep import status


def test_a_pipe_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each thing that begins, at once; nothing that a terminal alone would show."""
    with status.show_status("starting Ray"):
        assert capsys.readouterr().out == "starting Ray\n"
    status.say_on_terminal("reading the configuration")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("words", "said"), [(["--name", "x"], "early\n"), (["--dry-run"], ""), (["--cfg=job"], "")])
def test_a_command_alone_says_early_words(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever calls its function may want nothing but an error, and a configuration is not mixed with words."""
    monkeypatch.setattr(sys, "argv", ["sweep.launch", "wtnpo", *words])
    monkeypatch.setattr(status, "_is_command", False)
    status.say_early("early")
    assert capsys.readouterr().out == ""
    status.enable_early_words()
    status.say_early("early")
    assert capsys.readouterr().out == said


def test_a_terminal_gets_a_spinner_that_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line is cleared and the cursor shown again at the end of the block, also after an error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(OSError, match="it broke"), status.show_status("starting Ray"):
        assert "starting Ray" in capsys.readouterr().out
        raise OSError("it broke")
    end = capsys.readouterr().out
    assert "\x1b[?25h" in end and end.endswith("\x1b[1A\x1b[2K")

"""The progress of a measurement: a map that counts its batches, lines in a pipe, and how long it still takes."""

from types import SimpleNamespace

import pytest

from eval import progress
from eval.progress import PassCounter, format_duration, tell_progress
from support.waiting import until


def test_it_maps_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `map`, in order; after 2 of 6 batches in 10 s each, 40 s are left of this pass."""
    now = [100.0]
    monkeypatch.setattr("eval.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    counter = PassCounter("model")
    assert list(counter(str, [1, 2])) == ["1", "2"]
    found = counter(str, [1, 2, 3, 4, 5, 6])
    assert [next(found), next(found)] == ["1", "2"]
    now[0] += 20
    assert str(counter) == "model: pass 2, 2 of 6 batches, 40 s left"


def test_nothing_is_promised_before_a_batch_is_done() -> None:
    """No time is left to tell of."""
    counter = PassCounter("model")
    found = counter(str, [1])
    assert str(counter) == "model: pass 0, 0 of 0 batches"
    next(found)
    assert str(counter) == "model: pass 1, 1 of 1 batches, 0 s left"


def test_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One each interval, on stderr; of a short measurement none."""
    with tell_progress("short"):
        pass
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(progress, "INTERVAL_S", 0.01)
    seen = ""

    def has_line() -> bool:
        nonlocal seen
        seen += capfd.readouterr().err
        return "long: pass 1, 1 of 2 batches" in seen

    with tell_progress("long") as each:
        found = each(str, [1, 2])
        next(found)
        until(has_line)
    assert seen.startswith("long: pass ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (3840, "1 h 4 min"), (3599.6, "1 h 0 min")],
)
def test_a_duration_in_words(seconds: float, text: str) -> None:
    """Its two largest units, rounded to the second."""
    assert format_duration(seconds) == text

"""`run_sweep`: what goes in, what is refused before anything starts, what the result shows."""

import json
import signal
from pathlib import Path

import pytest

import sweep
from support.trials import trial
from sweep.api import FinishedSweep, _format_overrides, _locate_config
from sweep.config.compose import load
from sweep.errors import BrokenOffError, ConfigError
from sweep.records import TrackingRun
from sweep.signals import CallerSignals


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_values_by_key_are_overrides(here: Path) -> None:
    """Numbers, texts, lists, null and blocks arrive as they were given."""
    words = _format_overrides(
        {
            "search.trials": 3,
            "search.also": ["train.lr"],
            "search.hours": None,
            "score.tau": 0.9,
            "storage": here / "a=b, c",
            "space.alpha": {"low": 0.5, "high": 1.0},
            "model": "tiny",
        }
    )
    with _locate_config("wtnpo") as name:
        assert name == "wtnpo"
    from eval.shipped_configs import CONFIGS

    config = load(CONFIGS / "wtnpo.yaml", words)
    assert (config.search.trials, config.search.hours, config.score.tau) == (3, None, 0.9)
    assert config.storage == here / "a=b, c"
    assert "train.lr" in config.space
    assert config.space["alpha"].model_dump(exclude_defaults=True) == {"low": 0.5, "high": 1.0}


def test_a_config_may_be_a_dictionary() -> None:
    """It holds what a file would hold."""
    with _locate_config({"defaults": ["wga", "_self_"], "seed": 7}) as file:
        config = load(Path(file))
    assert (config.objective, config.seed) == ("wga", 7)
    assert not Path(file).exists()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"overrides": {"serch.trials": 3}}, "nearest: search"),
        ({"overrides": "seed=1"}, "must be a dictionary, or a list of texts"),
        ({"resume": True}, "resume = True needs the name of a sweep"),
        ({"name": "a b"}, "nearest: a-b"),
    ],
)
def test_a_mistake_is_a_config_error(here: Path, keywords: dict[str, object], says: str) -> None:
    """The sentence of the command line, and nothing made."""
    with pytest.raises(ConfigError, match=says):
        sweep.run_sweep("wtnpo", **keywords)  # type: ignore[arg-type]
    assert list(here.iterdir()) == []


def test_several_sweeps_are_refused() -> None:
    """`run_sweep` runs one."""
    with pytest.raises(ConfigError, match=r"compare.* holds several sweeps: call run_sweep for each"):
        sweep.run_sweep("compare")


def test_the_result_is_a_table(here: Path) -> None:
    """A row for each trial, with setting and metrics; the text of a notebook links the report and escapes."""
    records = [trial(0, {"alpha": 1.0}, 0.5), trial(1, {"alpha": 2.0}, 0.25)]
    ran = FinishedSweep(
        name="first",
        folder=here,
        best={"alpha": 2.0},
        verdict="a",
        text="a < b\n\nscore  0.250",
        records=records,
        tracking_run=TrackingRun(tracking_uri="", experiment="", run_id=""),
    )
    assert list(ran.trials["score"]) == [0.5, 0.25]
    assert list(ran.trials["alpha"]) == [1.0, 2.0]
    assert list(ran.trials["index"]) == [0, 1]
    (here / "summary.json").write_text(json.dumps({"format": 1}))
    assert ran.summary == {"format": 1}
    assert str(ran) == f"a < b\n\nscore  0.250\nreport: {here / 'report.html'}"
    assert "<pre>a &lt; b\n\nscore  0.250</pre>" in ran._repr_html_()
    assert f'href="{(here / "report.html").as_uri()}"' in ran._repr_html_()


def test_signals_stay_the_callers() -> None:
    """What Ray replaces is put back; a lost cluster breaks the sweep off instead of ending the process."""
    before = signal.getsignal(signal.SIGTERM)
    signals = CallerSignals()
    signals.raise_if_interrupted()
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signals.install_handlers()
        assert signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGTERM, before)
    signals.abort_process("the cluster is lost")
    with pytest.raises(BrokenOffError, match="the cluster is lost"):
        signals.raise_if_interrupted()


def test_an_unknown_name_is_no_attribute() -> None:
    """`sweep` has what it says to have, and imports it when it is used."""
    assert sweep.FinishedSweep is FinishedSweep
    with pytest.raises(AttributeError, match="no attribute 'run_sweeps'"):
        _ = sweep.run_sweeps  # type: ignore[attr-defined]

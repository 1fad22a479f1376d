"""An objective of the user's own that raises, in a real trial without Ray."""

from functools import partial
from pathlib import Path

import pytest

from support.targets import Prepared
from sweep.records import TrialRecord
from sweep.trial.runner import run_trial, unlearn

BROKEN = '''"""An objective that raises."""

from dataclasses import dataclass
from typing import ClassVar

from objectives._base import Objective


@dataclass(frozen=True, kw_only=True)
class Broken(Objective):
    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    def __call__(self, answers):
        raise RuntimeError("broken on purpose")
'''


def test_its_trial_fails(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record's reason is what it raised and where, in the user's own file; the process goes on."""
    package = f"theirs_{tmp_path.name}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    config, artifacts = prepared(objective=f"{package}.broken", space={})
    begun = TrialRecord(phase="search", index=0, setting={}, seed=0, state="running", metrics={})
    *_, ended = run_trial(partial(unlearn, config, artifacts), begun)
    assert ended.state == "failed"
    assert ended.reason == f"RuntimeError: broken on purpose ({tmp_path / package / 'broken.py'}, line 15)"

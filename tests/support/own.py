"""A config, a cluster and an objective of the user's own, and a sweep that waits for a file."""

from pathlib import Path

MINE = """defaults: [base, model: tiny, data: authors, recipe: default, cluster: mine, _self_]
objective: mine.fade
space: {gamma: {low: 0.1, high: 3.0, log: true}}
"""
CLUSTER = """# @package _global_
cluster: {name: mine, address: null, cpus: 1, gpus: 0, accelerator: null, memory: null,
          concurrency: 1, retries: 0, deadline: null}
"""
FADE = '''"""An objective of the user's own."""

from dataclasses import dataclass
from typing import ClassVar

from objectives._base import Objective, needed


@dataclass(frozen=True, kw_only=True)
class Fade(Objective):
    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    gamma: float

    def __call__(self, answers):
        return (self.gamma * needed(answers.logp)).exp()
'''
HELD = """defaults: [base, model: tiny, data: authors, recipe: default, cluster: local, _self_]
objective: mine.held
space: {gamma: {choices: [1.0, 2.0]}}
search: {sampler: grid, trials: 2}
seeds: 0
"""
WAITING = '''"""An objective of the user's own: all settings but the one that comes first wait for a file `go`."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from objectives._base import Objective, needed

FOLDER = Path({folder!r})


@dataclass(frozen=True, kw_only=True)
class Held(Objective):
    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({{"logp"}})

    gamma: float

    def __call__(self, answers):
        with suppress(FileExistsError):
            os.symlink(str(self.gamma), FOLDER / "first")
        while os.readlink(FOLDER / "first") != str(self.gamma) and not (FOLDER / "go").exists():
            time.sleep(0.05)
        return (self.gamma * needed(answers.logp)).exp()
'''


def mine(here: Path) -> str:
    """Write the config, the cluster and the objective into a folder, and return the folder."""
    for name, text in {"mine.yaml": MINE, "cluster/mine.yaml": CLUSTER, "mine/fade.py": FADE}.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text, encoding="utf-8")
    return str(here)


def held(here: Path) -> str:
    """Write a config of two trials into a folder, and return its name.

    The trial that begins first ends by itself. The other one waits in its first step for a file `go` in that folder, so
    that it is running or still pending when the first one has ended, however many run at once.
    """
    (here / "mine").mkdir()
    (here / "mine" / "held.py").write_text(WAITING.format(folder=str(here)), encoding="utf-8")
    (here / "held.yaml").write_text(HELD, encoding="utf-8")
    return "held.yaml"

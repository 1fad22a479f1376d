"""An objective of the user's own: WTNPO with a fault in its computation."""

from collections.abc import Sequence
from pathlib import Path

SHORT = ("search.trials=2", "search.race=0", "seeds=0", "save=none")
"""Overrides of a sweep with two trials."""
MODULE = '''"""WTNPO, with a fault."""

import mmap
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from objectives._base import Answers
from objectives.wtnpo import WTNPO

DONE = Path({done!r})
"""Holds a line for each time that it was done."""


@dataclass(frozen=True, kw_only=True)
class Strange(WTNPO):
    """WTNPO(α, β), with a fault.

    Source: none.
    """

    def __call__(self, answers: Answers) -> torch.Tensor:
        """The loss of each token [N]."""
        loss = super().__call__(answers)
        done = DONE.read_text().count("x") if DONE.exists() else 0
        if done < {times}:
            DONE.write_text("x" * (done + 1))
            {act}
        return loss
'''


def strange(here: Path, act: str, times: int = 1) -> Sequence[str]:
    """Write the objective into a folder, and return the overrides that select it.

    Args:
        here: the sweep's working directory.
        act: statement to run; `loss` is the value of the objective.
        times: number of first calls that run it.
    """
    (here / "mine").mkdir(exist_ok=True)
    text = MODULE.format(done=str(here / "done.txt"), act=act, times=times)
    (here / "mine" / "strange.py").write_text(text, encoding="utf-8")
    return ["objective=mine.strange"]

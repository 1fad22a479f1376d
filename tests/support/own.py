"""A config, a cluster and an objective of the user's own."""

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

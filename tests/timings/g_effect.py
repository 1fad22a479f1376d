"""What gradient effects cost: a trial of the embedded default that measures them once an epoch, and one that does not.

python tests/timings/g_effect.py [--rounds 5] [--storage DIR] [--out FILE] [key=value ...]

With 16 rows a side a trial must cost at most 1.35 times one without. The trials take turns in one warm process on one
thread, and the processor's seconds are counted; their own numbers are compared to the bit.
"""

from argparse import Namespace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from common import parser, seconds, show, write

from eval import datasets
from sweep.config.compose import load
from sweep.config.schema import GEffectConfig, SweepConfig
from sweep.config.space import build_objective
from sweep.prepare.artifacts import Artifacts, locate_artifacts
from sweep.prepare.preparers import missing_preparers
from sweep.training.loop import build_trial_schedule
from sweep.trial.outcomes import GEffectResult
from sweep.trial.unlearn import measure_search_suite, run_unlearning

BAR = 1.35
SETTING = {"alpha": 1.5, "beta": 5.0}
CONFIG = Path(__file__).parents[2] / "configs" / "wtnpo.yaml"
WAYS: dict[str, tuple[Literal["layer", "row"], ...] | None] = {
    "off": None,
    "by layer": ("layer",),
    "by layer and row": ("layer", "row"),
}


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "g_effect")
    found.add_argument("--rounds", type=int, default=5, help="trials of each kind (%(default)s)")
    found.add_argument("--storage", type=Path, help="folder of artifacts (a new one, removed at the end)")
    found.add_argument("words", nargs="*", metavar="key=value", help="changes to the configuration")
    return found.parse_args()


def run(config: SweepConfig, artifacts: Artifacts) -> tuple[float, list[object]]:
    """The processor's seconds of a trial, and its own results."""
    items: list[object] = []
    taken = seconds(
        lambda: items.extend(
            run_unlearning(config, artifacts, build_objective(config, dict(SETTING)), 0, measure_search_suite)
        )
    )
    return taken, [item for item in items if not isinstance(item, GEffectResult)]


def measure(asked: Namespace, storage: Path) -> dict[str, Any]:
    """Prepare the target, warm the worker, and take turns."""
    base = load(CONFIG, [f"storage={storage}", *asked.words])
    rows = datasets.load(base.data)
    artifacts = locate_artifacts(base, rows)
    for preparer in missing_preparers(base, rows, artifacts):
        list(preparer())
    every = build_trial_schedule(base, len(rows.forget)).count_steps_until(1)
    configs = {
        name: base.model_copy(
            update={"eval": base.eval.model_copy(update={"g_effect": by and GEffectConfig(every=every, by=by)})}
        )
        for name, by in WAYS.items()
    }
    run(base, artifacts)
    rounds = [{name: run(config, artifacts) for name, config in configs.items()} for _ in range(asked.rounds)]
    return {
        "steps an epoch": every,
        "seconds": {name: median(one[name][0] for one in rounds) for name in WAYS},
        "ratio": {name: median(one[name][0] / one["off"][0] for one in rounds) for name in WAYS},
        "same numbers": all(one[name][1] == one["off"][1] for one in rounds for name in WAYS),
        "bar": BAR,
    }


def main() -> None:
    """Measure, print the table, write the JSON file."""
    asked = options()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        found = measure(asked, asked.storage or Path(folder))
    rows = [[name, found["seconds"][name], found["ratio"][name], "" if name == "off" else BAR] for name in WAYS]
    show("the processor's seconds of a trial", ["gradient effects", "seconds", "ratio", "at most"], rows)
    print(f"medians of {asked.rounds} rounds, every {found['steps an epoch']} steps; {found['same numbers']=}")
    write(asked.out, found)


if __name__ == "__main__":
    main()

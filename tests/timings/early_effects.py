"""Whether the gradient effects of the first epoch tell the score, and whether to stop trials by them would beat ASHA.

python tests/timings/early_effects.py NAME... [--storage runs] [--out FILE]

NAME is a sweep, or a comparison, whose finished search trials have measured gradient effects (`eval.g_effect`) and
curves (`eval.every=1`), and were not stopped. It prints Spearman's rank correlation of the score with the mean effect
on each risk over the first epoch, and with forget ES after epoch 2, by which ASHA ranks; then what each rule would have
found in the trials as they began: it lets a trial go on that is in the best third of those before it, ASHA after
epoch 2, the others after epoch 1, from the effect on forget rows (the more negative the better) or on holdout rows (the
larger the better). `regret` is the lowest score of the trials that go on, less the lowest of all.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import parser, show, write
from scipy.stats import spearmanr

from sweep.config.stored import list_sweep_names, load_stored_config
from sweep.records import TrialRecord
from sweep.report.data import ReportData, load_report_data
from sweep.report.g_effect.early import measure_early
from sweep.search.asha import FIRST_RUNG_EPOCH, REDUCTION_FACTOR

Key = Callable[[TrialRecord], float]
"""Number by which trials are ranked, the lowest first."""


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "early_effects")
    found.add_argument("names", nargs="+", metavar="NAME", help="sweeps or comparisons")
    found.add_argument("--storage", type=Path, default=Path("runs"), help="their folder (%(default)s)")
    return found.parse_args()


def forget_es(record: TrialRecord) -> float:
    """Forget ES after ASHA's first rung."""
    return next(point["forget/es"] for point in record.curve if point["epoch"] == FIRST_RUNG_EPOCH)


def list_rules(sweep: ReportData) -> dict[str, tuple[int, Key]]:
    """The rules: the epoch after which each stops trials, and what it ranks them by."""
    return {
        "forget ES after epoch 2 (ASHA)": (FIRST_RUNG_EPOCH, forget_es),
        "effect on forget rows": (1, lambda record: measure_early(sweep, record, "forget")),
        "effect on holdout rows": (1, lambda record: -measure_early(sweep, record, "retain")),
    }


def choose(trials: Sequence[TrialRecord], key: Key) -> list[TrialRecord]:
    """The trials that go on: in the best third of those that came before, and the first."""
    kept = []
    for i, trial in enumerate(trials, 1):
        best = sorted(key(one) for one in trials[:i])[: max(1, i // REDUCTION_FACTOR)]
        if key(trial) <= best[-1]:
            kept.append(trial)
    return kept


def judge(trials: Sequence[TrialRecord], at: int, key: Key) -> dict[str, float]:
    """What a rule would have come to."""
    scores = [trial.score for trial in trials]
    kept, n_epochs = choose(trials, key), len(trials[0].curve)
    found = spearmanr([key(trial) for trial in trials], scores)
    return {
        "rank correlation": float(found.statistic),
        "p-value": float(found.pvalue),
        "regret": min(trial.score for trial in kept) - min(scores),
        "epochs run": (len(kept) * n_epochs + (len(trials) - len(kept)) * at) / (len(trials) * n_epochs),
    }


def main() -> None:
    """Print the table, write the JSON file."""
    asked = options()
    rows: list[list[object]] = []
    found: dict[str, Any] = {}
    for name in (own for given in asked.names for own in list_sweep_names(asked.storage, given)):
        sweep = load_report_data(load_stored_config(asked.storage, name), name)
        records = [r for r in sweep.records if r.phase == "search" and r.state == "finished"]
        trials = [r for r in sorted(records, key=lambda r: r.index) if r.g_effects and len(r.curve) > FIRST_RUNG_EPOCH]
        if len(trials) < REDUCTION_FACTOR:
            print(f"{name}: {len(trials)} trials have gradient effects and a curve: too few")
            continue
        found[name] = {rule: judge(trials, *how) for rule, how in list_rules(sweep).items()}
        rows += [[sweep.config.objective, len(trials), rule, *told.values()] for rule, told in found[name].items()]
    columns = ["objective", "trials", "ranked by", "rank correlation", "p-value", "regret", "epochs run"]
    show("early numbers against the score", columns, rows)
    write(asked.out, found)


if __name__ == "__main__":
    main()

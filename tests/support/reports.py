"""Toy sweeps for the tests of the report."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import toys
from support.trials import PAPER, repeats, trial
from sweep.records import Setting, TrialRecord
from sweep.report.data import ReportData

GOOD: Setting = {"alpha": 2.1, "beta": 6.0}
"""Setting at 0.6 / 5 = 12 % of the range of alpha from the paper's, and ln(7/6) / ln 40 = 4 % of that of beta."""
NASTY = "</script><script>alert(1)</script> & <img src=x onerror=alert(1)> {{ 7 * 7 }}"
"""A failure reason that is markup."""
START = 1_700_000_000.0
REFERENCE = {"forget/es": 0.9, "forget/es_paraphrase": 0.5, "retain/es": 0.95, "retain/es_paraphrase": 0.6}
SIDES = {"forget/es": 0.25, "retain/es": 0.75, "score/tau_0.4": 0.1, "score/tau_0.9": 0.2}


def reported(*records: TrialRecord, name: str = "mine", **blocks: Any) -> ReportData:
    """A sweep of the toy WTNPO with these trials."""
    config = toys.config(Path("/nowhere"), seeds=3, **blocks)
    return ReportData(name=name, config=config, records=records, target_metrics=REFERENCE)


def small(name: str = "mine", best: float = 0.2, **blocks: Any) -> ReportData:
    """Three trials, one failed; repeats of the best, best + .1, best + .2, and of the paper's, .3, .5, .6."""
    scored = [
        trial(0, PAPER, 0.5, metrics={"score": 0.5} | SIDES),
        trial(1, GOOD, best, metrics={"score": best} | SIDES),
    ]
    failed = replace(trial(2, {"alpha": 0.0, "beta": 1.0}, 0.0), state="failed", metrics={}, reason=NASTY)
    tuned, found = repeats(0, PAPER, 0.3, 0.5, 0.6, **SIDES), repeats(3, GOOD, best, best + 0.1, best + 0.2, **SIDES)
    return reported(*_timed([*scored, failed, *tuned, *found]), name=name, **blocks)


def spiral(count: int) -> list[TrialRecord]:
    """Trials all over the space, whose score is 0.1 + alpha / 10 whatever beta is."""
    places = [(i + 0.5) / count for i in range(count)]
    alphas, betas = [5 * place for place in places], [0.25 * 40 ** ((place * 7) % 1) for place in places]
    return _timed(
        trial(i, {"alpha": alpha, "beta": beta}, 0.1 + alpha / 10)
        for i, (alpha, beta) in enumerate(zip(alphas, betas, strict=True))
    )


def large() -> ReportData:
    """A sweep with all that a page can show: 30 trials on 4 workers in all states, all metrics, and the finalists."""
    search = [
        replace(record, metrics=record.metrics | _sides(i), worker=f"node-{i % 4}:17")
        for i, record in enumerate(spiral(30))
    ]
    search[4] = replace(search[4], state="failed", metrics={}, reason=NASTY)
    search[7] = replace(search[7], state="pruned", metrics={}, reason="it lagged behind")
    search[9] = replace(search[9], reason="no mix keeps enough")
    search[29] = replace(search[29], state="running", metrics={}, ended=0.0)
    best = search[0].setting
    finalists = _timed(
        [*repeats(0, PAPER, 0.3, 0.5, 0.6, **SIDES), *repeats(3, best, 0.2, 0.3, 0.4, **SIDES)], START + 100
    )
    return reported(*search, *finalists)


def _sides(i: int) -> dict[str, float]:
    forget, retain = 0.5 + 0.5 * math.sin(i), 0.5 + 0.5 * math.cos(1.7 * i)
    return {"forget/es": forget, "retain/es": retain, "score/tau_0.4": forget / 2, "score/tau_0.9": forget}


def _timed(records: Any, start: float = START) -> list[TrialRecord]:
    """Give the records times: each takes two seconds, and begins a second after the one before."""
    return [replace(r, started=start + i, ended=start + i + 2, worker=f"host:{i % 2}") for i, r in enumerate(records)]

"""What finished sweeps of a real model came to, as Markdown: settings, τ-curves, verdicts, hours and commands.

python tests/timings/real_model.py NAME [NAME ...] [--storage DIR] [--out real_model.md]

A NAME is a sweep's or a comparison's; all of them are compared where they share model and data. Numbers are from the
report seeds; of a sweep without any (seeds=0) from its search, and called so. It trains nothing and changes nothing.
"""

import json
import math
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from eval import datasets
from eval.rows.types import DataError
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.diff import flatten_block
from sweep.config.schema import SweepConfig
from sweep.config.stored import list_sweep_names, load_stored_config
from sweep.errors import ConfigError
from sweep.records import PHASES, Setting, TrialRecord, format_setting
from sweep.report.data import ReportData, load_report_data
from sweep.report.figure import Table
from sweep.report.tables import build_comparison_table, format_mean_std
from sweep.results.comparison import compare_objectives
from sweep.results.recovery import judge_recovery
from sweep.results.statistics import label_setting
from sweep.search.paper import list_qualifiers

METRICS = {
    "score": "score",
    "forget ES": "forget/es",
    "forget ES, paraphrased": "forget/es_paraphrase",
    "retain ES": "retain/es",
    "retain ES, paraphrased": "retain/es_paraphrase",
    "mix": "mix",
}
"""Metric keys by column."""
TAU_PREFIX = "score/tau_"
UNTOLD = ("storage", "experiment", "ledger", "model.revision", "target.revision", "data.revision")
"""Keys that a command does not name: places, and commits of its day."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A setting of a sweep with the trials that measured it.

    Attributes:
        sweep: the sweep.
        setting: the setting.
        records: its finished trials, one a seed.
        measured_on: the seeds: of the report, or of the search.
    """

    sweep: ReportData
    setting: Setting
    records: Sequence[TrialRecord]
    measured_on: str

    @property
    def label(self) -> str:
        """The objective with its retain term, and the setting's place in its sweep."""
        config = self.sweep.config
        term = "" if config.retain.term == "none" else f" + {config.retain.term}"
        return f"{config.objective}{term}, {label_setting(self.sweep, self.setting)}"

    def values(self, key: str) -> dict[int, float]:
        """Return a metric by seed."""
        return {record.seed: record.metrics[key] for record in self.records if key in record.metrics}

    @property
    def seconds(self) -> float:
        """Mean seconds of its trials."""
        return fmean(record.ended - record.started for record in self.records)


def list_measured(sweep: ReportData) -> list[Measured]:
    """List the settings on report seeds, or the best and the paper's in the search where there are no such seeds."""
    over = [record for record in sweep.records if record.state == "finished"]
    repeats = [record for record in over if record.phase == "finalist"]
    best = None if sweep.best is None else sweep.best.setting
    found = [setting for setting in (best, sweep.paper) if setting is not None]
    settings = [record.setting for record in repeats] or found
    distinct = [setting for place, setting in enumerate(settings) if setting not in settings[:place]]
    records = repeats or over
    groups = [(setting, [record for record in records if record.setting == setting]) for setting in distinct]
    where = "report" if repeats else "search"
    return [Measured(sweep=sweep, setting=key, records=own, measured_on=where) for key, own in groups if own]


def build_settings_table(found: Sequence[Measured]) -> Table:
    """Build the table of settings: metrics before any mix but for the score, seconds of a trial."""
    rows = [
        (
            one.label,
            format_setting(one.setting),
            f"{len(one.records)} {one.measured_on}",
            *(format_mean_std(one.values(key)) for key in METRICS.values()),
            f"{one.seconds:.0f}",
        )
        for one in found
    ]
    return Table(columns=("objective", "setting", "seeds", *METRICS, "s a trial"), rows=rows)


def build_tau_table(found: Sequence[Measured]) -> Table:
    """Build the table of τ-curves: the score at every τ."""
    keys = {key for one in found for record in one.records for key in record.metrics if key.startswith(TAU_PREFIX)}
    ordered = sorted(keys, key=lambda key: float(key.removeprefix(TAU_PREFIX)))
    rows = [
        (one.label, format_setting(one.setting), *(format_mean_std(one.values(key)) for key in ordered))
        for one in found
    ]
    return Table(columns=("objective", "setting", *(f"τ {key.removeprefix(TAU_PREFIX)}" for key in ordered)), rows=rows)


def build_hours_table(sweeps: Sequence[ReportData], storage: Path) -> Table:
    """Build the table of hours: preparation as summary.json tells it, from the first trial to the last, and in trials.

    Preparation is that of the last command on the sweep, so 0 where that found all prepared.
    """
    return Table(
        columns=("sweep", *(f"{phase} trials" for phase in PHASES), "preparing, h", "trials, h", "hours in trials"),
        rows=[_build_hours_row(sweep, read_summary(storage, sweep)) for sweep in sweeps],
    )


def read_summary(storage: Path, sweep: ReportData) -> dict[str, Any]:
    """Read summary.json of a sweep; empty where it is not over."""
    file = storage / sweep.name / "summary.json"
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return read


def _build_hours_row(sweep: ReportData, summary: Mapping[str, Any]) -> Sequence[str | int]:
    over = [record for record in sweep.records if record.ended]
    seconds = summary.get("seconds", {"prepare": math.nan})
    whole = max(r.ended for r in over) - min(r.started for r in over) if over else math.nan
    inside = sum(record.ended - record.started for record in over)
    counts = [sum(record.phase == phase for record in over) for phase in PHASES]
    return (sweep.name, *counts, *(f"{value / 3600:.2f}" for value in (seconds["prepare"], whole, inside)))


def describe_command(config: SweepConfig) -> str:
    """Return a command that makes the sweep again, found from its differences to the nearest shipped configuration."""
    groups = [f"model={config.model.name}", f"data={config.data.name}", f"recipe={config.recipe}"]
    held = [f"data.path={path}"] if (path := getattr(config.data, "path", None)) and Path(path).is_dir() else []
    ours = dict(flatten_block(config.model_dump(mode="json")))
    told = {
        file: _list_overrides(ours, _load_shipped(file, (*groups, *held))) for file in sorted(CONFIGS.glob("*.yaml"))
    }
    file, changes = min(told.items(), key=lambda item: (f"objective={config.objective}" in item[1], len(item[1])))
    paths = ["data.path=FOLDER"] if held else []
    return " ".join(["python -m sweep.launch", f"configs/{file.name}", *groups, *paths, *changes])


@cache
def _load_shipped(file: Path, words: tuple[str, ...]) -> Mapping[str, object]:
    """Return the values of a shipped configuration by dotted key; none where it is no sweep on this data."""
    try:
        return dict(flatten_block(load(file, words).model_dump(mode="json")))
    except ConfigError:
        return {}


def _list_overrides(ours: Mapping[str, object], shipped: Mapping[str, object]) -> list[str]:
    """List the overrides that make our values of a shipped configuration."""
    changed = {key: value for key, value in ours.items() if key not in shipped or shipped[key] != value}
    lost = {key.rpartition(".")[0] for key in shipped if key.startswith("space.") and key not in ours}
    gone = [f"~{entry}" for entry in sorted(lost) if not any(key.startswith(f"{entry}.") for key in ours)]
    return [f"{key}={_format_word(value)}" for key, value in changed.items() if key not in UNTOLD] + gone


def _format_word(value: object) -> str:
    """Return a value as an override has it; a folder of this machine has no name elsewhere."""
    if isinstance(value, str):
        return "FOLDER" if value and Path(value).is_dir() else value
    return json.dumps(value, separators=(",", ":"))


def describe_rows(config: SweepConfig) -> str:
    """Return the numbers of rows by part."""
    try:
        rows = datasets.load(config.data)
    except DataError:
        return "rows not at hand"
    parts = {"forget": rows.forget, "retain": rows.retain, "holdout": rows.holdout}
    return ", ".join(f"{len(own)} {part} rows" for part, own in parts.items())


def describe_machine() -> str:
    """Return this machine's processor, the cores that this process may use, and its memory."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory"


def describe_target(sweep: ReportData, summary: Mapping[str, Any]) -> str:
    """Return the metrics of the sweep's target, from summary.json where its artifact is gone."""
    metrics = sweep.target_metrics or summary.get("target", {}).get("metrics", {})
    known = {key: value for key, value in metrics.items() if key in METRICS.values()}
    return ", ".join(f"{key} {value:.3f}" for key, value in known.items()) or "not at hand"


def format_table(table: Table) -> str:
    """Format a table as Markdown."""
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join('' if cell is None else str(cell) for cell in row)} |" for row in rows)


def list_verdicts(sweeps: Sequence[ReportData]) -> list[str]:
    """List the verdict of each sweep, with its limits."""
    judged = ((sweep, judge_recovery(sweep)) for sweep in sweeps)
    return [f"- {sweep.name}: {known.sentence}" for sweep, known in judged if known is not None]


def format_page(sweeps: Sequence[ReportData], storage: Path) -> str:
    """Format everything as a page of Markdown."""
    found = [one for sweep in sweeps for one in list_measured(sweep)]
    first = sweeps[0].config
    heads = list(dict.fromkeys(f"{s.config.model.name} on {s.config.data.name}" for s in sweeps))
    target = describe_target(sweeps[0], read_summary(storage, sweeps[0]))
    weights = sorted({str(sweep.config.model.path or "made from its shape") for sweep in sweeps})
    parts = [
        f"# {'; '.join(heads)}",
        f"Weights: {', '.join(weights)}. {describe_rows(first)}; τ = {first.score.tau}; τ-curves are interpolated."
        f" Qualifiers: {', '.join(list_qualifiers(first)) or 'none'}. Target: {target}.",
        "Metrics: mean ± standard deviation over seeds; ES before any mix.",
        format_table(build_settings_table(found)),
        f"## Score at other τ\n\n{format_table(build_tau_table(found))}",
        *_format_comparisons(sweeps),
        "\n".join(["## Verdicts\n", *list_verdicts(sweeps)]),
        f"## Hours\n\n{describe_machine()}.\n\n{format_table(build_hours_table(sweeps, storage))}",
        "\n".join(["## Commands\n\n```bash", *(describe_command(sweep.config) for sweep in sweeps), "```"]),
    ]
    return "\n\n".join(parts) + "\n"


def _format_comparisons(sweeps: Sequence[ReportData]) -> Iterable[str]:
    """Yield a section for each model and dataset on which several sweeps are compared."""
    for group in compare_objectives(sweeps):
        if len(group) > 1:
            yield f"## Objectives on {group[0].model}, {group[0].data}\n\n{format_table(build_comparison_table(group))}"


def parse_arguments() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="a sweep's name, or a comparison's")
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="the folder of sweeps (%(default)s)")
    parser.add_argument("--out", type=Path, help="the Markdown file (default: standard output)")
    return parser.parse_args()


def main() -> int:
    """Print or write the page."""
    typed = parse_arguments()
    storage = typed.storage.absolute()
    try:
        names = [own for name in typed.names for own in list_sweep_names(storage, name)]
        sweeps = [load_report_data(load_stored_config(storage, own), own) for own in dict.fromkeys(names)]
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page = format_page(sweeps, storage)
    if typed.out is None:
        print(page, end="")
    else:
        typed.out.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Trials with a label and a marker style in every plot: the best, the runner-up, the paper's, and the target."""

from dataclasses import dataclass

from sweep.config.schema import SweepConfig
from sweep.records import TrialRecord
from sweep.report.theme import BLUE, GREEN, ORANGE, PURPLE
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import is_stand_in

TARGET_LABEL = "target"
STAND_IN_SUFFIX = " (stand-in)"


@dataclass(frozen=True, kw_only=True)
class MarkerStyle:
    """Colour and shape of a mark; each alone identifies the label."""

    colour: str
    shape: str


MARKER_STYLES = {
    "best": MarkerStyle(colour=ORANGE, shape="diamond"),
    "runner-up": MarkerStyle(colour=PURPLE, shape="triangle-down"),
    "paper": MarkerStyle(colour=BLUE, shape="square"),
    TARGET_LABEL: MarkerStyle(colour=GREEN, shape="cross"),
}
DEFAULT_STYLE = MarkerStyle(colour=BLUE, shape="circle")


def find_marker_style(label: str) -> MarkerStyle:
    """Return the marker style of a label: the first of `MARKER_STYLES` whose name is in it, else the default style."""
    names = label.removesuffix(STAND_IN_SUFFIX).split(" = ")
    return next((MARKER_STYLES[name] for name in MARKER_STYLES if name in names), DEFAULT_STYLE)


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A search trial with a label of its own.

    Attributes:
        label: the trial's names, joined by " = " if it has several.
        record: the trial.
    """

    label: str
    record: TrialRecord


def find_highlights(sweep: SweepRecords) -> list[Highlight]:
    """Find the search trials of the best setting, of the next in race or search, and of the paper's, where it ran."""
    best = None if sweep.best is None else sweep.best.setting
    settings = [racer.setting for racer in sweep.race.racers] + [record.setting for record in sweep.ranking]
    rivals = [setting for setting in settings if setting != best]
    named = {"best": best, "runner-up": next(iter(rivals), None), "paper": sweep.paper}
    found = {
        name: [record for record in sweep.ranking if record.setting == setting][:1] for name, setting in named.items()
    }
    trials = {record.index: record for those in found.values() for record in those}
    names = {index: " = ".join(name for name, those in found.items() if trials[index] in those) for index in trials}
    return [
        Highlight(label=mark_stand_in(names[index], sweep.config), record=record) for index, record in trials.items()
    ]


def mark_stand_in(label: str, config: SweepConfig) -> str:
    """Append " (stand-in)" to a label that names the paper, if model or data is not the paper's."""
    return label + STAND_IN_SUFFIX if "paper" in label and is_stand_in(config) else label

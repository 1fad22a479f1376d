"""Trials with a label and a marker style in every plot: the best, the runner-up, the paper's, and the target."""

from dataclasses import dataclass

from sweep.config.schema import SweepConfig
from sweep.records import TrialRecord
from sweep.report.theme import BLUE, GREEN, ORANGE, PURPLE
from sweep.results.statistics import rank_trials
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
    """Find the best finished search trials of the best, the second-best and the paper's setting, where they exist."""
    ranking = rank_trials(sweep.records)
    found = {
        "best": ranking[:1],
        "runner-up": [record for record in ranking if record.setting != ranking[0].setting][:1],
        "paper": [record for record in ranking if record.setting == sweep.paper][:1],
    }
    trials = {record.index: record for those in found.values() for record in those}
    names = {index: " = ".join(name for name, those in found.items() if trials[index] in those) for index in trials}
    return [
        Highlight(label=mark_stand_in(names[index], sweep.config), record=record) for index, record in trials.items()
    ]


def mark_stand_in(label: str, config: SweepConfig) -> str:
    """Append " (stand-in)" to a label that names the paper, if model or data is not the paper's."""
    return label + STAND_IN_SUFFIX if "paper" in label and is_stand_in(config) else label

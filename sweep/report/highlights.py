"""Trials with a label and a marker style in every plot: the best, the runner-up, the paper's, and the target."""

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.config.schema import SweepConfig
from sweep.records import Record
from sweep.report.theme import BLUE, GREEN, ORANGE, PURPLE
from sweep.results.statistics import ranked
from sweep.search.paper import paper_setting, stand_in

TARGET = "target"
STAND_IN = " (stand-in)"


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colour and shape of a mark; each alone identifies the label."""

    colour: str
    shape: str


LOOKS = {
    "best": Look(colour=ORANGE, shape="diamond"),
    "runner-up": Look(colour=PURPLE, shape="triangle-down"),
    "paper": Look(colour=BLUE, shape="square"),
    TARGET: Look(colour=GREEN, shape="cross"),
}
OTHER = Look(colour=BLUE, shape="circle")


def look(label: str) -> Look:
    """Return the marker style of a label: the first of `MARKER_STYLES` whose name is in it, else the default style."""
    names = label.removesuffix(STAND_IN).split(" = ")
    return next((LOOKS[name] for name in LOOKS if name in names), OTHER)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A search trial with a label of its own.

    Attributes:
        label: the trial's names, joined by " = " if it has several.
        record: the trial.
    """

    label: str
    record: Record


def roles(config: SweepConfig, records: Iterable[Record]) -> list[Role]:
    """Find the best finished search trials of the best, the second-best and the paper's setting, where they exist."""
    ranking, paper = ranked(records), paper_setting(config)
    found = {
        "best": ranking[:1],
        "runner-up": [record for record in ranking if record.setting != ranking[0].setting][:1],
        "paper": [record for record in ranking if record.setting == paper][:1],
    }
    trials = {record.index: record for those in found.values() for record in those}
    names = {index: " = ".join(name for name, those in found.items() if trials[index] in those) for index in trials}
    return [Role(label=shown(names[index], config), record=record) for index, record in trials.items()]


def shown(label: str, config: SweepConfig) -> str:
    """Append " (stand-in)" to a label that names the paper, if model or data is not the paper's."""
    return label + STAND_IN if "paper" in label and stand_in(config) else label

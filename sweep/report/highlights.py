"""The trials that have a name and a look in every plot: the best, the runner-up, the paper's, and the target."""

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
    """How a mark looks: its colour and its shape say the same, so that either is enough."""

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
    """How the marks of a label look: as the first of its names that is known."""
    names = label.removesuffix(STAND_IN).split(" = ")
    return next((LOOKS[name] for name in LOOKS if name in names), OTHER)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A search trial that is shown by name.

    Attributes:
        label: what it is, joined by " = " where it is several.
        record: the trial.
    """

    label: str
    record: Record


def roles(config: SweepConfig, records: Iterable[Record]) -> list[Role]:
    """The best finished search trial, that of the next setting and that of the paper's, as far as they are there."""
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
    """A label that says where the paper's setting only stands in, because model or data is another."""
    return label + STAND_IN if "paper" in label and stand_in(config) else label

"""Bring the models that sweeps keep into their folders: fetch them from the artifacts' URL, or run trials again."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from eval.rows.types import DataError
from sweep.callbacks import SweepsDisplay
from sweep.cluster.preparation import run_preparation
from sweep.config.stored import sweep_arguments
from sweep.errors import BrokenOffError, ConfigError
from sweep.plan.sweep_plan import SweepPlan
from sweep.prepare import object_store
from sweep.prepare.artifacts import download_folder
from sweep.prepare.preparers import Preparer
from sweep.records import TrialRecord
from sweep.results.chosen_models import choose_trials
from sweep.results.saved_models import (
    KINDS,
    Kind,
    SaveRequest,
    describe_full_disk,
    expand_kinds,
    is_saved,
    name_remote_copy,
    read_model,
    request_model,
    select_kinds,
)
from sweep.results.sweep_records import SweepRecords
from sweep.trial.runner import export_model

WEIGHTS_FILE = "model.safetensors"
MAX_SHOWN_METRICS = 3
"""Number of differing metrics that a message names."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A trial whose model is to be brought into a folder.

    Attributes:
        plan: its sweep.
        record: the trial, finished.
        request: the kinds of weights that it has, and where they belong.
    """

    plan: SweepPlan
    record: TrialRecord
    request: SaveRequest

    @property
    def lacking(self) -> "Delivery | None":
        """The part of it that is not there yet; None if all is."""
        lacking = {kind: place for kind, place in self.request.folders.items() if not is_saved(place, self.record)}
        return replace(self, request=replace(self.request, folders=lacking)) if lacking else None

    @property
    def preparer(self) -> Preparer:
        """Function that runs the trial again and saves its model; pickled and run on a worker."""
        return partial(export_model, self.plan.config, self.plan.artifacts, self.record, self.request)

    @property
    def disk_problem(self) -> str:
        """The reason why the disk has no room for it; empty if it has, or the size is not known here."""
        file = self.plan.artifacts.target / WEIGHTS_FILE
        size = file.stat().st_size * len(self.request.folders) if file.is_file() else 0
        return describe_full_disk(next(iter(self.request.folders.values())), size)


def deliver_models(
    plans: Sequence[SweepPlan],
    records: Sequence[Sequence[TrialRecord]],
    display: SweepsDisplay,
    on_step: Callable[[], None],
) -> None:
    """Bring the models that the sweeps keep into their folders; a sweep does not fail where one cannot be had.

    Print a sentence to stderr for each model that is not there, with the command that saves it later.

    Args:
        plans: the sweeps, whose trials are over and whose Ray is up.
        records: the last attempts of each sweep's trials.
        display: is told the progress of trials that run again.
        on_step: is called several times a second; may raise to end it.
    """
    wanted: list[Delivery] = []
    problems: list[str] = []
    for plan, own in zip(plans, records, strict=True):
        for label, record in choose_trials(SweepRecords(name=plan.name, config=plan.config, records=own)).items():
            if kinds := select_kinds(expand_kinds(plan.config.save_as), record.metrics):
                wanted.append(place_models(plan, label, record, kinds))
            else:
                problems.append(_describe_nothing(plan, label, record))
    for line in problems + _bring_models(wanted, display, on_step):
        print(line, file=sys.stderr)


def _bring_models(wanted: Sequence[Delivery], display: SweepsDisplay, on_step: Callable[[], None]) -> list[str]:
    """Fetch models, and run the trials of those that cannot be fetched; return a sentence for each that is missing."""
    problem, again = "", list[Delivery]()
    try:
        lacking = fetch_models(wanted)
        again = [one for one in lacking if not one.disk_problem]
        if again:
            run_preparation(again[0].plan.config.cluster, [one.preparer for one in again], display, on_step)
        fetch_models(again)
    except (ConfigError, DataError, OSError, BrokenOffError) as error:
        problem = str(error).rstrip(".")
    left = [part for one in wanted if (part := one.lacking)]
    made = [line for one in again if one.lacking is None and has_differences(one) for line in describe_repeat(one)]
    return [_describe_missing(one, one.disk_problem or problem) for one in left] + made


def place_models(
    plan: SweepPlan, label: str, record: TrialRecord, kinds: Sequence[Kind], output: Path | None = None
) -> Delivery:
    """Plan where a trial's model goes: into the sweep's folder, or into `output`, with a folder for each of several."""
    request = request_model(plan.name, plan.folder, label, kinds)
    if output is not None:
        places = {kind: output if len(kinds) == 1 else output / kind for kind in kinds}
        request = replace(request, folders=places)
    return Delivery(plan=plan, record=record, request=request)


def fetch_models(wanted: Sequence[Delivery]) -> list[Delivery]:
    """Fetch models that lie at the artifacts' URL; return those that are not in their folders even then."""
    lacking = [part for one in wanted if (part := one.lacking)]
    for one in lacking:
        url = one.plan.artifacts.url
        for kind, place in one.request.folders.items() if url is not None else ():
            name = name_remote_copy(one.request, one.record, kind)
            if url is not None and object_store.has_artifact(url, name):
                place.parent.mkdir(parents=True, exist_ok=True)
                download_folder(place, url, name)
    return [part for one in lacking if (part := one.lacking)]


def _describe_nothing(plan: SweepPlan, label: str, record: TrialRecord) -> str:
    """Describe a model that there is not: the trial diverged, or no mix keeps τ."""
    there = select_kinds(KINDS, record.metrics)
    later = f": {_format_command(plan, label)} --as {there[0]} saves the other weights" if there else ""
    return f"{plan.name}: there is no model {label} to save, {record.reason}{later}"


def _describe_missing(one: Delivery, problem: str) -> str:
    return (
        f"{one.plan.name}: the model {one.request.label} is not saved ({problem}); to save it later:"
        f" {_format_command(one.plan, one.request.label)}"
    )


def _format_command(plan: SweepPlan, label: str) -> str:
    """Return the command that saves a model later."""
    name, *storage = sweep_arguments(plan.config.storage, plan.name).split(" ", 1)
    return " ".join(["python -m sweep.export", name, *([] if label == "best" else [label]), *storage])


def find_differences(recorded: Mapping[str, float], again: Mapping[str, float]) -> list[str]:
    """Describe the recorded metrics that the same trial run again does not repeat; NaN equals NaN."""
    others = {key: (again.get(key), value) for key, value in recorded.items() if repr(again.get(key)) != repr(value)}
    return [f"{key} {now!r}, not {before!r}" for key, (now, before) in others.items()]


def has_differences(delivery: Delivery) -> bool:
    """Return True if a trial run again gave other numbers than the sweep recorded."""
    return any(others for _, others in _compare_numbers(delivery))


def describe_repeat(delivery: Delivery) -> Iterator[str]:
    """Say for each folder if its trial gave the numbers that the sweep recorded."""
    for place, others in _compare_numbers(delivery):
        shown = "; ".join(others[:MAX_SHOWN_METRICS]) + ("; ..." if len(others) > MAX_SHOWN_METRICS else "")
        yield f"{place}: " + (
            f"{len(others)} of its trial's numbers differ from those that the sweep recorded: {shown}"
            if others
            else "its trial's numbers are those that the sweep recorded, bit for bit"
        )


def _compare_numbers(delivery: Delivery) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders with the differences of their trials."""
    for place in delivery.request.folders.values():
        model = read_model(place)
        assert model is not None, "it was made"
        yield place, find_differences(delivery.record.metrics, model.trial["metrics"])

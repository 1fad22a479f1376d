"""Save the model of any trial of a sweep by running the trial again: the same weights, bit for bit on one machine.

python -m sweep.export NAME
python -m sweep.export NAME search-3 --as both --output ./model
"""

import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.signals import enable_fast_exit

if TYPE_CHECKING:
    from sweep.export.delivery import Delivery
    from sweep.plan.sweep_plan import SweepPlan
    from sweep.records import TrialRecord
    from sweep.results.sweep_records import SweepRecords

# Slow imports stand in the functions that use them, so that --help and errors are answered at once.

EXAMPLES = """TRIAL is best (the default), paper, or phase and index, such as search-3, race-0 or finalist-2; a number
alone is a trial of the search. It runs again on the sweep's cluster, as in python -m sweep.launch.

exit codes: 0 the model is there, 1 something that it needs failed, 2 the command line is wrong"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from eval.rows.types import DataError
    from sweep.errors import BrokenOffError, ConfigError, Interrupted

    try:
        typed = parse_arguments(argv)
        print(*_export_model(typed), sep="\n")
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenOffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print("interrupted; give the same command again", file=sys.stderr)
        return 128 + stop.signum
    return 0


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line into `name`, `trial`, `kinds`, `output` and `words`.

    Raises:
        ConfigError: an option is unknown, or has a value that is not allowed.
    """
    from sweep.shell.arguments import Parser

    parser = Parser(
        prog="python -m sweep.export",
        description=__doc__.partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="a sweep's name")
    parser.add_argument(
        "words", nargs="*", metavar="TRIAL storage=DIR", help="which trial; where the sweep is (./runs)"
    )
    parser.add_argument(
        "--as",
        dest="kinds",
        choices=("unlearned", "compared", "both"),
        help="weights at the end of the trial, the mix that was scored, or both (default: the sweep's save_as)",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: models/TRIAL/ in the sweep's folder")
    typed = parser.parse_intermixed_args(argv)
    trials = [word for word in typed.words if "=" not in word]
    typed.trial, typed.words = (trials or ["best"])[0], [*trials[1:], *(w for w in typed.words if "=" in w)]
    return typed


def find_trial(sweep: "SweepRecords", name: str) -> "tuple[str, TrialRecord]":
    """Find the trial that the user names, with its model's label.

    Raises:
        ConfigError: there is no such trial, or it has not finished.
    """
    from sweep.config.messages import nearest_hint
    from sweep.errors import ConfigError
    from sweep.results.chosen_models import label_trial

    label = f"search-{name}" if name.isdecimal() else name
    finished = {label_trial(record): record for record in sweep.records if record.state == "finished"}
    named = find_named_trials(sweep) | finished
    if not named:
        raise ConfigError(f"{sweep.name} has no finished trial yet, so that there is no model to save.")
    if label not in named:
        raise ConfigError(
            f"{sweep.name} has no finished trial {name}: allowed are {_list_labels(sweep)}{nearest_hint(label, named)}."
        )
    return label, named[label]


def _list_labels(sweep: "SweepRecords") -> str:
    """List the labels of the finished trials, those of a phase by the first and the last."""
    from sweep.records import PHASES
    from sweep.results.chosen_models import label_trial

    ended = sorted((r for r in sweep.records if r.state == "finished"), key=lambda r: r.index)
    by_phase = [[label_trial(record) for record in ended if record.phase == phase] for phase in PHASES]
    ranges = [" to ".join(dict.fromkeys((labels[0], labels[-1]))) for labels in by_phase if labels]
    return ", ".join([*find_named_trials(sweep), *ranges])


def find_named_trials(sweep: "SweepRecords") -> "dict[str, TrialRecord]":
    """Find the trials that stand for the best and for the paper's setting, as far as there are any."""
    from sweep.results.chosen_models import find_delivered

    settings = {"best": None if sweep.best is None else sweep.best.setting, "paper": sweep.paper}
    found = {label: find_delivered(sweep, setting) for label, setting in settings.items() if setting is not None}
    return {label: record for label, record in found.items() if record is not None}


def _export_model(typed: Namespace) -> list[str]:
    """Save the model that the command line asks for, unless it is there; return the lines that say so."""
    from sweep.config.stored import parse_storage
    from sweep.export.cards import write_cards
    from sweep.export.delivery import describe_repeat
    from sweep.plan.hub_commits import check_commits
    from sweep.plan.sweep_plan import plan_stored_sweep
    from sweep.results.saved_models import read_model
    from sweep.results.sweep_records import SweepRecords
    from sweep.search.study import read_records

    storage = parse_storage(typed.words, "python -m sweep.export")
    _refuse_comparison(storage, typed.name)
    plan = plan_stored_sweep(storage, typed.name)
    check_commits(plan.config)
    sweep = SweepRecords(name=plan.name, config=plan.config, records=read_records(plan.config, plan.name))
    wanted = _plan_delivery(typed, plan, sweep)
    lacking = wanted.lacking
    if lacking is None:
        return [f"{place}: it is there already" for place in wanted.request.folders.values()]
    _refuse_other_files(lacking)
    _run_again(lacking)
    models = [model for place in lacking.request.folders.values() if (model := read_model(place))]
    write_cards(plan, sweep, models)
    return [*describe_repeat(lacking)]


def _refuse_comparison(storage: Path, name: str) -> None:
    from sweep.config.stored import list_sweep_names
    from sweep.errors import ConfigError

    if (names := list_sweep_names(storage, name)) != [name]:
        raise ConfigError(f"{name} is a comparison: name one of its sweeps, {', '.join(names)}.")


def _plan_delivery(typed: Namespace, plan: "SweepPlan", sweep: "SweepRecords") -> "Delivery":
    """Plan which weights of which trial go where.

    Raises:
        ConfigError: there is no such trial, or it has no such weights.
    """
    from sweep.errors import ConfigError
    from sweep.export.delivery import place_models
    from sweep.results.saved_models import expand_kinds, select_kinds

    label, record = find_trial(sweep, typed.trial)
    asked = expand_kinds(typed.kinds or plan.config.save_as)
    kinds = select_kinds(asked, record.metrics)
    if len(kinds) < len(asked):
        raise ConfigError(
            f"--as {typed.kinds or plan.config.save_as}: {label} of {sweep.name} has no such weights, {record.reason}"
            f": allowed is {', '.join(select_kinds(('unlearned', 'compared'), record.metrics)) or 'none'}."
        )
    return place_models(plan, label, record, kinds, None if typed.output is None else typed.output.absolute())


def _refuse_other_files(wanted: "Delivery") -> None:
    """Refuse a folder that holds something else, which would be lost.

    Raises:
        ConfigError: it does.
    """
    from sweep.errors import ConfigError
    from sweep.results.saved_models import read_model

    for place in wanted.request.folders.values():
        if place.exists() and read_model(place) is None and not (place.is_dir() and not any(place.iterdir())):
            raise ConfigError(f"--output {place} holds other files: name a folder that is empty, or that is not there.")


def _run_again(wanted: "Delivery") -> None:
    """Run the trial again on the sweep's cluster, and bring the model into its folder."""
    from sweep.cluster.connection import connect_ray
    from sweep.cluster.head_watch import watch_head
    from sweep.cluster.preparation import run_preparation
    from sweep.display import open_display
    from sweep.export.delivery import fetch_models
    from sweep.signals import InterruptHandler

    plan, cluster = wanted.plan, wanted.plan.config.cluster
    with (
        InterruptHandler(lambda: "give the same command again") as interrupts,
        connect_ray(cluster),
        watch_head(interrupts.abort_process),
        open_display([plan]) as display,
    ):
        interrupts.install_handlers()
        run_preparation(cluster, plan.preparers, display, interrupts.raise_if_interrupted)
        run_preparation(cluster, [wanted.preparer], display, interrupts.raise_if_interrupted)
        fetch_models([wanted])


if __name__ == "__main__":
    enable_fast_exit()
    sys.exit(main())

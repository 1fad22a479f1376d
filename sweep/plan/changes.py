"""Change a stored sweep as it is resumed: its budget, and which models it keeps.

With more trials, hours, race runs or report seeds it goes on as a sweep would have that was begun with them. On one
worker, and where no hours end the search, its trials.csv is that sweep's, byte for byte, with every sampler: a trial's
setting depends on its index and on the search trials before it, never on the number of trials. Three things differ:

- Several workers: trials that begin after the change know all earlier ones, of which some would still have run.
- Failed trials are run again, as on every resume.
- A grid whose ranges `search.trials` divides has other settings, and is refused.

Runs of race and report are known by setting and seed and not run twice. Those of settings that further trials have
overtaken stay in the study and in MLflow, and count nowhere (`SweepRecords.uncounted`).

`search.trials` and `seeds` may also become fewer, but not fewer than have begun; `search.hours` and `search.race` may
be anything, since hours never end a search at the same trial twice, and the race is held again from its runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.config.diff import BUDGET_KEYS, Difference, adopt_budget, find_differences, list_changes, list_cuts
from sweep.config.request import SweepRequest, check_shared_blocks
from sweep.config.schema import SweepConfig
from sweep.config.stored import find_comparison, load_stored_config, warm_start_hint
from sweep.errors import ConfigError
from sweep.plan.hub_commits import adopt_commits
from sweep.plan.row_template import fill_template


def change_by_overrides(storage: Path, name: str, overrides: Sequence[str]) -> SweepConfig:
    """Return a stored sweep's configuration with overrides of its budget and its kept models."""
    return adopt_budget(load_stored_config(storage, name), load_stored_config(storage, name, overrides))


def change_by_request(begun: SweepConfig, request: SweepRequest, name: str) -> SweepConfig:
    """Return a stored sweep's configuration with the larger budget and the kept models of a request.

    Raises:
        ConfigError: the request differs in another key, or asks for less.
    """
    wished = fill_template(adopt_commits(request.configs[name], begun))
    changed = adopt_budget(begun, wished)
    cuts = list_cuts(begun.model_dump(), wished.model_dump())
    others = [*find_differences(changed.model_dump(), wished.model_dump())]
    if not cuts and not others:
        return changed
    said = ", ".join(f"{key} is {one} there and {two} here" for key, one, two in [*others, *cuts])
    raise ConfigError(
        f"--resume {name}: it was begun with another configuration: {said}{_name_way_out(begun, wished, name, others)}."
    )


def _name_way_out(begun: SweepConfig, wished: SweepConfig, name: str, others: Sequence[Difference]) -> str:
    """Return the end of the refusal's sentence: how to come to what is wished, where there is a way."""
    if not others:
        less = " ".join(f"{key}={two}" for key, _, two in list_cuts(begun.model_dump(), wished.model_dump()))
        return f"; fewer are allowed where no config is named: --resume {name} {less}"
    from sweep.search.warm_start import is_comparable

    is_wider = any(key.startswith("space.") for key, _, _ in others) and is_comparable(wished, begun)
    return warm_start_hint(name) if is_wider else ""


def check_changes(begun: Mapping[str, SweepConfig], changed: Mapping[str, SweepConfig]) -> None:
    """Refuse budgets with which the sweeps of one command, by name, cannot go on.

    Raises:
        ConfigError: less is asked for than has begun, a grid would become another one, or sweeps that are compared
            would no longer have the same budget.
    """
    for name, config in changed.items():
        if list_changes(begun[name].model_dump(), config.model_dump()):
            _check_begun(begun[name], config, name)
            if len(changed) == 1 and (whole := find_comparison(config.storage, name)):
                raise ConfigError(
                    f"--resume {name}: it is compared with others of {whole}, which have the same budget: give"
                    f" {', '.join(BUDGET_KEYS)} for all of them, with --resume {whole}."
                )
    check_shared_blocks(changed, ("search", "seeds"))


def _check_begun(begun: SweepConfig, config: SweepConfig, name: str) -> None:
    """Refuse fewer search trials or report seeds than have begun, and another grid than that of the trials."""
    from sweep.search.samplers import SAMPLERS
    from sweep.search.study import read_records

    records = read_records(begun, name)
    search = [record for record in records if record.phase == "search"]
    n_seeds = max((record.seed - config.seed for record in records if record.phase == "finalist"), default=0)
    for key, wished, least, what in (
        ("search.trials", config.search.trials, len(search), "trials of its search"),
        ("seeds", config.seeds, n_seeds, "report seeds"),
    ):
        if wished is not None and wished < least:
            raise ConfigError(
                f"--resume {name}: {key} = {wished} must be at least {least}, the {what} that have begun."
            )
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None and [one.setting for one in search] != list_settings(config)[: len(search)]:
        raise ConfigError(
            f"--resume {name}: search.trials = {config.search.trials} would divide the ranges of the grid anew, into"
            " other settings than those that have run: begin another sweep."
        )


def describe_changes(begun: SweepConfig, changed: SweepConfig, name: str) -> list[str]:
    """Return a line with the changes of the budget; none without a change."""
    changes = list_changes(begun.model_dump(), changed.model_dump())
    said = ", ".join(f"{key} = {new} instead of {old}" for key, old, new in changes)
    return [f"{name} goes on with {said}"] if said else []

"""Check, before anything starts, how many trials the memory of this machine holds at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.errors import ConfigError
from sweep.plan.sweep_plan import SweepPlan

if TYPE_CHECKING:
    from sweep.prepare.machine import MachineShare


def find_narrowest_share(plans: Sequence[SweepPlan]) -> "MachineShare | None":
    """Return the share of the sweeps' heaviest trials in this machine's memory.

    None where trials run elsewhere or on GPUs, or where the models are made from a shape, which are small. One forecast
    stands for all sweeps with the same model and training: objectives differ little in memory.

    Raises:
        ConfigError: not even one trial fits.
    """
    kinds = {(plan.config.model, plan.config.target, plan.config.train): plan for plan in reversed(plans)}
    shares = [_share_machine(plan) for plan in kinds.values() if plan.config.model.path is not None]
    known = [share for share in shares if share is not None]
    narrowest = min(known, key=lambda share: share.n_fitting, default=None)
    if narrowest is not None and narrowest.n_fitting == 0:
        raise ConfigError(f"cluster = {plans[0].config.cluster.name!r}: {narrowest}.")
    return narrowest


def _share_machine(plan: SweepPlan) -> "MachineShare | None":
    from sweep.prepare.machine import share_machine

    if share_machine(plan.config.cluster, 0) is None:
        return None
    from sweep.prepare.forecast import forecast_sweep

    return forecast_sweep(plan.config, plan.dataset, plan.artifacts).machine

"""Unlearning objectives, one file each; `load("wtnpo")` returns the class in objectives/wtnpo.py."""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from types import ModuleType
from typing import TypeGuard

from objectives._base import NEEDS, Objective

UNITS = ("token", "row")
"""Units over which an objective's loss may be averaged."""


class UnknownObjectiveError(ValueError):
    """Unknown or invalid objective; for an unknown name the message lists the valid ones and the nearest."""


def names() -> list[str]:
    """List the objectives of this package, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> type[Objective]:
    """Load the objective in objectives/<name>.py, or in the importable module `package.module`.

    Raises:
        UnknownObjectiveError: there is no such module, it cannot be imported, it does not hold exactly one objective,
            or its objective has no valid `unit` or `needs`.
    """
    module = _import_module(name)
    found = [value for value in vars(module).values() if _is_objective(value, module)]
    if len(found) != 1:
        raise UnknownObjectiveError(f"objective {name!r}: the module holds {len(found)} objectives; it must hold one.")
    objective = found[0]
    if getattr(objective, "unit", None) not in UNITS:
        raise UnknownObjectiveError(f"objective {name!r}: its unit must be {' or '.join(UNITS)}.")
    if not NEEDS.issuperset(getattr(objective, "needs", ("nothing said",))):
        raise UnknownObjectiveError(f"objective {name!r}: its needs must be among {', '.join(sorted(NEEDS))}.")
    return objective


def _import_module(name: str) -> ModuleType:
    """Import the module, whose own code may raise anything, or try to end the program."""
    try:
        return importlib.import_module(_resolve_module(name))
    except UnknownObjectiveError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(".")
        raise UnknownObjectiveError(f"objective {name!r} cannot be imported: {said}.") from error


def _resolve_module(name: str) -> str:
    if name in names():
        return f"{__name__}.{name}"
    if "." in name and _is_importable(name):
        return name
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
    raise UnknownObjectiveError(
        f"objective {name!r} is unknown: allowed are {', '.join(names())} or an importable package.module"
        f" (nearest: {near[0]})."
    )


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _is_objective(value: object, module: ModuleType) -> TypeGuard[type[Objective]]:
    return inspect.isclass(value) and issubclass(value, Objective) and value.__module__ == module.__name__

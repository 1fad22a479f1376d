"""What a driver imports until it ends, for `support.forks`: importing this module is its whole point."""

from sweep import finish, launch, plans, schedule
from sweep.report import files

__all__ = ["files", "finish", "launch", "plans", "schedule"]

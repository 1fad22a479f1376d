"""Count the bytes of tensors without data: current and peak, as operations allocate and free them."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves


class MemoryTracker(FakeTensorMode):
    """FakeTensorMode that tracks the current and the peak number of allocated bytes.

    Attributes:
        current: bytes that are allocated.
        peak: maximum of `current` since the last reset.
    """

    def __init__(self) -> None:
        """Start with nothing allocated."""
        super().__init__()
        self.current = self.peak = 0
        self._counted: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self._is_dispatching = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the bytes of its result, but not those that torch allocates to find its shape."""
        if self._is_dispatching:
            return super().__torch_dispatch__(func, types, args, kwargs)
        self._is_dispatching = True
        try:
            made = self._find_result(func, types, args, kwargs)
        finally:
            self._is_dispatching = False
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count_storage(leaf.untyped_storage())
        return made

    def _find_result(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Find the result of an operation; torch knows that of a product per expert only in bfloat16."""
        if func is not torch.ops.aten._grouped_mm.default or args[0].dtype == torch.bfloat16:
            return super().__torch_dispatch__(func, types, args, kwargs)
        left, right = (matrix.to(torch.bfloat16) for matrix in args[:2])
        made: Any = super().__torch_dispatch__(func, types, (left, right, *args[2:]), kwargs)
        return made.to(args[0].dtype)

    def _count_storage(self, storage: torch.UntypedStorage) -> None:
        if storage in self._counted:
            return
        self._counted.add(storage)
        self.current += storage.nbytes()
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release_bytes, storage.nbytes())

    def _release_bytes(self, size: int) -> None:
        self.current -= size

    def measure_peak(self, work: Callable[[], object]) -> int:
        """Call `work` and return the peak of the bytes that it allocates beyond those allocated before."""
        gc.collect()
        before = self.peak = self.current
        work()
        return self.peak - before

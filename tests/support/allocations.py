"""The bytes that PyTorch hands out while some work is done."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def measure_allocations(work: Callable[[], object]) -> int:
    """Bytes that PyTorch's allocator has handed out at once on the CPU, by the profiler's account."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None and seen.profiler.kineto_results is not None
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak

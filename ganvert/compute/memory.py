"""Memory of this process and its device: how much there is, how much work takes, how many images fit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = ["auto_batch", "free_memory", "keep_freed_memory", "memory_budget", "out_of_memory", "peak_memory"]

#: The share of the free memory that is used: the rest is for fragments, the driver and other processes.
_SHARE = 0.9


def auto_batch(measure: Callable[[int], int], budget: int, most: int = 64) -> int:
    """How many images fit side by side, from the memory that one and two take.

    Args:
        measure: peak memory [bytes] of so many images (:func:`peak_memory`).
        budget: what there is [bytes] (:func:`memory_budget`).
        most: more are not wanted; 1 measures nothing.

    Returns:
        1 to `most`.
    """
    if most <= 1:
        return 1
    try:
        one = measure(1)
        if one > budget:
            return 1
        each = max(measure(2) - one, 1)
    except Exception as error:
        if out_of_memory(error):
            return 1
        raise
    return max(1, min(most, 1 + (budget - one) // each))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def free_memory(device: torch.device | None = None, root: Path = Path("/")) -> int:
    """Memory [bytes] that a GPU, or the machine or its container, still has; 0 where nothing says so."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _kilobytes(root / "proc/meminfo", "MemAvailable")
    for limit, used in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # there is no such group, or it says "max"
            free = min(free, int((root / limit).read_text()) - int((root / used).read_text()))
    return max(free, 0)


def memory_budget(device: torch.device) -> int:
    """Bytes that this process may use at its peak: what it has, and nine tenths of what is free."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device) + _SHARE * free_memory(device))
    return int(_status("VmRSS") + _SHARE * free_memory(device))


def peak_memory(device: torch.device, work: Callable[[], Any]) -> int:
    """The most memory [bytes] that this process has had while it did some work.

    On a CPU that is resident memory, what was there before included (glibc keeps what was freed); on a GPU what the
    allocator has given out.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):  # not allowed everywhere; the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    work()
    return _status("VmHWM")


def _status(field: str) -> int:
    """A line of /proc/self/status [bytes]; 0 where there is none."""
    return _kilobytes(Path("/proc/self/status"), field)


def _kilobytes(path: Path, field: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of giving it back to the kernel after every large tensor.

    A synthesis step allocates and frees hundreds of 60 MB activations; with the default every one is mapped and
    page-faulted anew, which measured half of the time of a forward + backward at 1024 px on a CPU.

    Returns:
        Whether the C library took the settings (False where it is not glibc, which costs speed only).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    return all([mallopt(m_trim_threshold, 2**31 - 1), mallopt(m_top_pad, 1 << 27), mallopt(m_mmap_max, 0)])

"""Memory of this process and its device: how much is free, how much some work takes, how many images fit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "auto_batch",
    "free_memory",
    "give_back_freed_memory",
    "keep_freed_memory",
    "memory_budget",
    "out_of_memory",
    "peak_memory",
]

#: The share of the free memory that is used; the rest is for fragmentation, the driver and other processes.
_SHARE = 0.9


def auto_batch(measure: Callable[[int], int], budget: int, most: int = 64) -> int:
    """Return how many images fit side by side, from the memory that one and two take.

    Peak memory is a constant (weights, caches) plus an equal part for each image, which two measurements tell.

    Args:
        measure: peak memory [bytes] of a number of images (:func:`peak_memory`).
        budget: available memory [bytes] (:func:`memory_budget`).
        most: upper limit of the result; 1 measures nothing.

    Returns:
        1 to `most`; 1 where not even one image fits, to be tried all the same.
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
    """Return whether an error means that memory ran out."""
    # A CPU allocation fails with a plain RuntimeError that only its text tells from others.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def free_memory(device: torch.device | None = None, root: Path = Path("/")) -> int:
    """Return the free memory [bytes] of a GPU, or of the machine or its container; 0 where it cannot be read.

    Args:
        device: None is the CPU.
        root: folder that holds `proc` and `sys`.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = 1024 * _field(root / "proc/meminfo", "MemAvailable")
    for group, limit, used, unread in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):  # no such cgroup (v2, then v1), or it has no limit ("max")
            # Pages of files that were read count as used. Linux takes those that nobody has come back to as soon as
            # memory is wanted; after a large download or many photographs they are most of what is "used".
            cached = _field(root / group / "memory.stat", unread)
            free = min(free, int((root / group / limit).read_text()) - int((root / group / used).read_text()) + cached)
    return max(free, 0)


def memory_budget(device: torch.device) -> int:
    """Return the bytes that this process may use at its peak: what it has, and nine tenths of what is free."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device) + _SHARE * free_memory(device))
    return int(_status("VmRSS") + _SHARE * free_memory(device))


def peak_memory(device: torch.device, work: Callable[[], Any]) -> int:
    """Do some work and return the most memory [bytes] that this process had meanwhile.

    On a CPU that is resident memory, what was there before included (glibc keeps what was freed); on a GPU what the
    allocator has handed out.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):  # not allowed everywhere; the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets VmHWM, the high-water mark
    work()
    return _status("VmHWM")


def _status(field: str) -> int:
    """Return a line of /proc/self/status [bytes]; 0 where there is none."""
    return 1024 * _field(Path("/proc/self/status"), field)


def _field(path: Path, field: str) -> int:
    """Return the number behind a name in one of the kernel's files, with a colon between or not; 0 where it is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(line[1]) for line in lines if len(line) > 1 and line[0].rstrip(":") == field), 0)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of giving it back to the kernel after every large tensor.

    A synthesis step allocates and frees hundreds of 60 MB activations. By default each of them is mapped and
    page-faulted anew, which took half of the time of a forward and backward pass at 1024 px on a CPU.

    All threads then share one heap. By default glibc has several, and each would keep what its threads have freed: a
    studio of five sessions had 5.2 GB, of which 3.9 GB were free in six heaps.

    Returns:
        Whether the C library took the settings; without glibc it does not, which costs speed only.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    m_trim_threshold, m_top_pad, m_mmap_max, m_arena_max = -1, -2, -4, -8  # from malloc.h
    # Never trim the heap, grow it by 128 MB, map nothing outside of it, and have no other.
    settings = {m_trim_threshold: 2**31 - 1, m_top_pad: 1 << 27, m_mmap_max: 0, m_arena_max: 1}
    taken = [mallopt(name, value) for name, value in settings.items()]
    return all(taken)


def give_back_freed_memory() -> None:
    """Give what :func:`keep_freed_memory` keeps back to the kernel, once: after work that will not go on at once."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None where it has none of this name."""
    import ctypes

    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None

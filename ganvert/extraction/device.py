"""The device of a worker process: on a machine with GPUs, one of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path

import torch

from ganvert.compute.device import resolve_device
from ganvert.compute.memory import free_memory

__all__ = ["claim_device", "default_workers", "images_at_once"]

log = logging.getLogger(__name__)
_BYTES_A_WORKER = 3 * 2**30  # measured: 2.1 GB for forward and backward of one picture at 1024 px, LPIPS included
_ON_A_GPU = 32  # images of 1024 px, for planning; how many fit is measured when the job runs
_held: dict[str, int] = {}


def claim_device(name: str) -> torch.device:
    """Return the device of that name; for `auto` a GPU that no other worker of this user holds, or else the CPU.

    A GPU is held by an exclusive flock for as long as the process lives; the kernel frees it after any kind of end.
    With more workers than GPUs a worker waits until one is free.

    Raises:
        UnsupportedError: a GPU was asked for and there is none.
    """
    device = resolve_device(name)
    if name != "auto" or device.type != "cuda":
        return device
    if name in _held:  # this process holds one already
        return torch.device("cuda", _held[name])
    waiting = False
    while True:
        for index in range(torch.cuda.device_count()):
            # Its UUID, not its number: with CUDA_VISIBLE_DEVICES different GPUs have the same number.
            identity = getattr(torch.cuda.get_device_properties(index), "uuid", index)
            path = Path(tempfile.gettempdir()) / f"ganvert-gpu-{os.getuid()}-{identity}.lock"
            # The folder belongs to everyone: a link put there by another user must not be followed.
            slot = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(slot)
                continue
            _held[name] = index  # the descriptor stays open, and so locked, until the process ends
            return torch.device("cuda", index)
        if not waiting:
            log.info("waiting for a GPU: all %d are held by other workers", torch.cuda.device_count())
            waiting = True
        time.sleep(1.0)


def images_at_once(batch: int | None, device: str) -> int:
    """Return how many images one worker has side by side: `batch`, or an estimate for the device if that is None."""
    return batch or (1 if resolve_device(device).type == "cpu" else _ON_A_GPU)


def default_workers(device: str, threads: int | None) -> int:
    """Return how many workers suit this machine: one a GPU; on a CPU one per `threads` cores, as memory allows."""
    if resolve_device(device).type == "cuda":
        return 1 if device.startswith("cuda") else torch.cuda.device_count()
    # The cores that this process may run on (taskset, cpusets), not all of the machine's.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    by_memory = free_memory() // _BYTES_A_WORKER
    return max(min(cores // (threads or cores), by_memory), 1)

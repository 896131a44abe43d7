"""The device that a process computes on, and the arithmetic it uses there."""

from __future__ import annotations

import re

import torch

from ganvert.base.errors import ParamsError, UnsupportedError

__all__ = ["resolve_device", "strict_math"]


def strict_math(threads: int | None = None) -> None:
    """Use full float32 and no autotuned kernels, so that equal inputs give equal results.

    Args:
        threads: of the CPU; None leaves their number, which changes the order of sums, as it is.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    if threads:
        torch.set_num_threads(threads)


def resolve_device(name: str) -> torch.device:
    """Return the device of a name: 'auto' (a GPU where there is one), 'cpu', 'cuda' or 'cuda:N'.

    Raises:
        ParamsError: a name that is none of these.
        UnsupportedError: a GPU was asked for, and this machine has none of that number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name):  # torch knows others (mps, meta, xpu), on which little runs
        raise ParamsError(f"device: wanted auto, cpu or cuda[:N], got {name!r}")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError(f"device {name!r} was asked for, but this machine has no CUDA GPU; use cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnsupportedError(
            f"device {name!r} was asked for, but this machine has {torch.cuda.device_count()} GPUs, counted from 0"
        )
    return device

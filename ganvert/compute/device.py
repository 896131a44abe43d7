"""The device that a process computes on, and the arithmetic it uses there."""

from __future__ import annotations

import torch

from ganvert.base.errors import UnsupportedError

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
        UnsupportedError: there is no such device, or a GPU was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnsupportedError(f"device: wanted auto, cpu or cuda[:N], got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError(f"device {name!r} was asked for, but this machine has no CUDA GPU; use cpu or auto")
    return device

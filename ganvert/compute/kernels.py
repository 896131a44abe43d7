"""The switch between our CPU kernels and PyTorch's operators."""

from __future__ import annotations

import torch

__all__ = ["ENABLED", "use_cpu_kernels"]

#: False leaves everything to PyTorch's own operators, as a reference for benchmarks and tests.
ENABLED = True


def use_cpu_kernels(x: torch.Tensor) -> bool:
    """Return whether to use our CPU kernels instead of PyTorch's: for CPU tensors, eager, without autocast.

    A compiler fuses better than they do when it sees PyTorch's operators, and autocast does not know them.
    """
    free = not (torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type))
    return ENABLED and free and x.device.type == "cpu"

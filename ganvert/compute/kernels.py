"""The switch between our CPU kernels and PyTorch's operators."""

from __future__ import annotations

import torch

__all__ = ["ENABLED", "use_cpu_kernels"]

#: False makes PyTorch's own operators do everything, which is what benchmarks and tests compare with.
ENABLED = True


def use_cpu_kernels(x: torch.Tensor) -> bool:
    """Whether to use our CPU kernels instead of PyTorch's: on a CPU, eager, without autocast."""
    free = not (torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type))
    return ENABLED and free and x.device.type == "cpu"

"""Which operators a CPU runs: our kernels, PyTorch's, and bfloat16 on channels-last tensors."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["ENABLED", "fast_bfloat16", "in_bfloat16", "to_channels_last", "use_cpu_kernels"]

#: False leaves everything to PyTorch's own operators, as a reference for benchmarks and tests.
ENABLED = True
#: Where Linux says what the processor can do; with AMX also that the kernel lets programs use it.
CPUINFO = Path("/proc/cpuinfo")


def use_cpu_kernels(x: torch.Tensor) -> bool:
    """Return whether to use our CPU kernels instead of PyTorch's: for tensors of a CPU, eager, without autocast.

    A compiler fuses better than they do when it sees PyTorch's operators, and autocast does not know them.
    """
    free = not (torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type))
    return ENABLED and free and x.device.type == "cpu"


def fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 numbers in hardware (AVX512-BF16 or AMX) and PyTorch makes use of it.

    Without either, PyTorch's bfloat16 convolutions are several times slower than those in float32.
    """
    if not torch.backends.mkldnn.is_available():  # oneDNN has the kernels
        return False
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def in_bfloat16(x: torch.Tensor) -> bool:
    """Return whether a frozen network is to run in bfloat16 on channels-last tensors for an input `x`.

    So it is for CPU tensors under autocast. Autocast alone keeps the memory format, and on channels-first tensors
    bfloat16 is slower than float32: a 1x1 convolution of 64 channels at 512 px takes 98 ms in float32, 197 ms in
    bfloat16, and 16 ms in bfloat16 with channels last (one core with AMX; 83, 31 and 25 ms with AVX512-BF16 alone).
    """
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


def to_channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor in bfloat16, with channels last where it is [N, C, h, w]."""
    if x.ndim == 4:
        return x.to(torch.bfloat16, memory_format=torch.channels_last)
    return x.to(torch.bfloat16)

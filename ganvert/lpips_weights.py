"""LPIPS weights out of flax checkpoints: a pickle is read as data, never as a program."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.errors import CheckpointError

__all__ = ["lpips_state", "read_array_pickle"]

MAX_BYTES = 128 << 20  # the larger of the two checkpoints has 56 MiB
_ARRAY_TYPE = object()  # stands for numpy.ndarray in the stream: named by it, but not callable from it


def _new_dtype(code: str, _align: bool = False, _copy: bool = True) -> np.dtype:
    if code != "f4":
        raise pickle.UnpicklingError(f"an array of type {code!r}; only float32 is read")
    return np.dtype("f4", copy=True)  # type: ignore[call-overload]  # a copy: the stream sets its byte order


def _new_array(kind: object, shape: tuple[int, ...], _code: bytes) -> np.ndarray:
    if kind is not _ARRAY_TYPE or shape != (0,):
        raise pickle.UnpicklingError("something else than an empty array to be filled")
    return np.ndarray((0,), "i1")


# The three names that pickled float32 arrays use (two spellings of one), each bound to something harmless.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy", "ndarray"): _ARRAY_TYPE,
    ("numpy", "dtype"): _new_dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names of `_ALLOWED` and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not on the list of allowed names")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError(f"it asks for the outside object {pid!r}")


def read_array_pickle(data: bytes, where: str) -> dict[str, np.ndarray]:
    """A pickled nest of dicts of float32 arrays, flattened to names such as ``VGG16_0/Conv_0/kernel``.

    Raises:
        CheckpointError: too large, damaged, or anything in it is not a dict, a string or a float32 array.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{where}: {len(data)} bytes, more than the {MAX_BYTES} that are read")
    try:
        tree = _ArrayUnpickler(io.BytesIO(data)).load()
        return dict(_leaves(tree, ""))
    except Exception as error:  # a hostile or cut stream can raise anything; none of it is our bug
        raise CheckpointError(f"{where}: refused, not a plain pickle of float32 arrays: {error}") from error


def _leaves(node: object, path: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise pickle.UnpicklingError(f"the key {key!r} at {path or 'the top'} is no string")
            yield from _leaves(value, f"{path}/{key}" if path else key)
    elif isinstance(node, np.ndarray) and node.dtype == np.float32:
        yield path, node
    else:
        raise pickle.UnpicklingError(f"{path or 'the top'} is a {type(node).__name__}, no float32 array")


def lpips_state(data: bytes, where: str) -> dict[str, Tensor]:
    """The trunk's convolutions and the linear heads of an LPIPS network (Zhang et al. 2018), for PyTorch.

    Args:
        data: a flax checkpoint: ``TRUNK/Conv_i/{kernel,bias}`` with kernels [h, w, in, out] and
            ``NetLinLayer_i/Conv_0/kernel`` [1, 1, C, 1].
        where: what it is, for messages.

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
                state[f"conv{conv.removeprefix('Conv_')}.weight"] = _tensor(array.transpose(3, 2, 0, 1))
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

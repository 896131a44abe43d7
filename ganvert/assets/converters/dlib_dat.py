"""Read dlib's face descriptor network from its `.dat` file, as data: numbers and tags, nothing is executed.

An integer is a control byte (bit 7: negative; the low four bits: how many bytes follow) and its little endian bytes; a
string an integer and its bytes; a tensor the integers 2 (a version), samples, k, rows and columns, and its float32
numbers, little endian. Layers stand in the order in which the network runs, each opened by the string that names its
version, with state of dlib's trainer between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.base.errors import CheckpointError

__all__ = ["descriptor_state", "make_dlib_descriptor"]

MAX_BYTES = 64 << 20  # the file has 21.4 MiB
#: Bytes between the parts of one layer and the tag of the next; the file has at most 290.
_GAP = 1024
_TAG = re.compile(rb"\x01[\x04-\x0a](con_4|affine_|fc_2|max_pool_2|avg_pool_2|add_prev_|relu_)")

_BLOCK = ["con_4", "affine_", "relu_", "con_4", "affine_", "add_prev_", "relu_"]
_HALVED = [*_BLOCK[:5], "avg_pool_2", *_BLOCK[5:]]  # the skip of such a block goes through the pooling
#: Blocks that halve the resolution, of fourteen.
_HALVING = (3, 7, 10, 13)
_NETWORK = ["con_4", "affine_", "relu_", "max_pool_2"]
for _i in range(14):
    _NETWORK += _HALVED if _i in _HALVING else _BLOCK
_NETWORK += ["avg_pool_2", "fc_2"]


def make_dlib_descriptor(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the network's file; the only part is dlib's.

    Raises:
        CheckpointError: not that network.
    """
    (data,) = parts
    return pack_product(product, "dlib_descriptor", descriptor_state(data, product.members[0]))


def descriptor_state(data: bytes, where: str) -> dict[str, Tensor]:
    """Return the network's weights for PyTorch.

    Args:
        data: the file.
        where: its name, for messages.

    Returns:
        float32 ``conv{i}.weight`` [out, in, h, w] and ``conv{i}.bias`` [out] of 29 convolutions in their order, the
        affine layer that follows each multiplied into it, and ``linear0.weight`` [128, 256].

    Raises:
        CheckpointError: damaged, too large, or another network.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{where}: {len(data)} bytes, more than the {MAX_BYTES} that are read")
    state: dict[str, Tensor] = {}
    kinds: list[str] = []
    channels, convs = 3, 0
    reader = _Reader(data, where)
    for kind in reader.layers():
        kinds.append(kind)
        if kinds != _NETWORK[: len(kinds)]:
            break
        if kind == "con_4":
            kernel, bias, channels = reader.convolution(channels)
        elif kind == "affine_":
            gamma, beta = np.split(reader.tensor((2 * channels, 1, 1, 1)).ravel(), 2)
            # In float64: rounding once, to what is stored, keeps the product as exact as the two layers are.
            weights = kernel.astype(np.float64) * gamma[:, None, None, None]
            state[f"conv{convs}.weight"] = torch.from_numpy(weights).float()
            state[f"conv{convs}.bias"] = torch.from_numpy(bias * gamma.astype(np.float64) + beta).float()
            convs += 1
        elif kind == "fc_2":
            outputs, inputs = reader.integer(), reader.integer()
            if (outputs, inputs) != (128, channels):
                raise CheckpointError(f"{where}: a last layer of {inputs} to {outputs}; wanted {channels} to 128")
            matrix = reader.tensor((channels, 128, 1, 1)).reshape(channels, 128)
            state["linear0.weight"] = torch.from_numpy(matrix.T.copy())
    if kinds != _NETWORK:
        raise CheckpointError(
            f"{where}: layer {len(kinds)} is {kinds[-1] if kinds else 'missing'}, of {len(_NETWORK)}; "
            "wanted dlib's face descriptor network (dlib_face_recognition_resnet_model_v1.dat)"
        )
    return state


class _Reader:
    """A position in the file; every method moves it on."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.position = data, where, 0

    def layers(self) -> Iterator[str]:
        """Yield the kind of each layer, at the place where its own numbers begin; the caller may read them."""
        while match := _TAG.search(self.data, self.position, min(self.position + _GAP, len(self.data))):
            kind = match[1].decode()
            self.position = match.start()
            if self.integer() != len(kind):
                raise CheckpointError(f"{self.where}: damaged at byte {match.start()}: a tag of another length")
            self.position = match.end()
            yield kind

    def integer(self) -> int:
        """Read an integer of at most eight bytes."""
        start = self.position
        control = self.data[start] if start < len(self.data) else 0
        size = control & 0x0F
        self.position += 1 + size
        if not 1 <= size <= 8 or control & 0x70 or self.position > len(self.data):
            raise CheckpointError(f"{self.where}: damaged or cut at byte {start}: wanted an integer")
        value = int.from_bytes(self.data[start + 1 : self.position], "little")
        return -value if control & 0x80 else value

    def tensor(self, shape: tuple[int, int, int, int]) -> np.ndarray:
        """Read a float32 tensor of a known shape."""
        start = self.position
        version, *stored = (self.integer() for _ in range(5))
        count = int(np.prod(shape))
        end = self.position + 4 * count
        if version != 2 or tuple(stored) != shape or end > len(self.data):
            raise CheckpointError(
                f"{self.where}: damaged or cut at byte {start}: wanted a tensor {list(shape)} of version 2, got "
                f"{stored} of version {version} and {len(self.data) - self.position} bytes"
            )
        array = np.frombuffer(self.data, "<f4", count, self.position).reshape(shape)
        if not np.isfinite(array).all():
            raise CheckpointError(f"{self.where}: damaged: a tensor at byte {start} holds numbers that are not finite")
        self.position = end
        return array

    def convolution(self, channels: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Read a convolution of some input channels: kernel [out, in, h, w], bias [out], output channels."""
        start = self.position
        # The numbers of filters and the kernel's sides stand behind the tensor, whose length they decide.
        version, count = self.integer(), self.integer()
        self.position = start
        if version != 2 or not 0 < 4 * count <= len(self.data):
            raise CheckpointError(f"{self.where}: damaged at byte {start}: wanted the weights of a convolution")
        numbers = self.tensor((count, 1, 1, 1)).ravel()
        filters, rows, columns = (self.integer() for _ in range(3))
        size = filters * channels * rows * columns
        if min(filters, rows, columns) < 1 or size + filters != count:
            raise CheckpointError(
                f"{self.where}: a convolution with {count} weights at byte {start}; wanted {filters} filters of "
                f"{channels} x {rows} x {columns} and as many biases"
            )
        return numbers[:size].reshape(filters, channels, rows, columns), numbers[size:], filters

"""dlib's file format: numbers of a written file come back, and damaged files are refused with a typed error."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from ganvert.assets.converters.dlib_dat import _NETWORK, descriptor_state
from ganvert.base.errors import CheckpointError

#: Filters and kernel side of the convolutions of a narrower network with the same layers.
WIDTHS = [4] * 7 + [6] * 8 + [8] * 6 + [10] * 8


def integer(value: int) -> bytes:
    size = max((abs(value).bit_length() + 7) // 8, 1)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def tensor(array: np.ndarray, *shape: int) -> bytes:
    return b"".join(map(integer, (2, *shape))) + array.astype("<f4").tobytes()


def write() -> tuple[bytes, list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """Write a network by the description of the format; return the bytes, its layers, and the last matrix."""
    rng, widths, layers, inputs = np.random.default_rng(0), iter(WIDTHS), [], 3
    data = integer(-3) + integer(14) + b"loss_metric_2x" + bytes(30)
    for kind in _NETWORK:
        data += integer(len(kind)) + kind.encode()
        if kind == "con_4":
            size, outputs = 7 if inputs == 3 else 3, next(widths)
            kernel, bias = rng.normal(size=(outputs, inputs, size, size)), rng.normal(size=outputs)
            numbers = np.concatenate([kernel.ravel(), bias])
            data += tensor(numbers, len(numbers), 1, 1, 1) + b"".join(map(integer, (outputs, size, size, 1, 1, 1, 1)))
            inputs = outputs
        elif kind == "affine_":
            gamma, beta = rng.normal(size=(2, inputs))
            data += tensor(np.concatenate([gamma, beta]), 2 * inputs, 1, 1, 1)
            layers.append((kernel, bias, gamma, beta))
        elif kind == "fc_2":
            matrix = rng.normal(size=(inputs, 128))
            data += integer(128) + integer(inputs) + tensor(matrix, inputs, 128, 1, 1)
        data += struct.pack("<8f", *[0.0] * 8)  # the trainer's state
    return data, layers, matrix


def test_a_written_network_comes_back() -> None:
    data, layers, matrix = write()
    state = descriptor_state(data, "toy.dat")
    assert len(layers) == 29 and len(state) == 59
    torch.testing.assert_close(state["linear0.weight"], torch.from_numpy(matrix.T).float())
    image = torch.randn(1, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    kernel, bias, gamma, beta = (torch.from_numpy(part).float() for part in layers[0])
    want = torch.nn.functional.conv2d(image, kernel, bias) * gamma.view(-1, 1, 1) + beta.view(-1, 1, 1)
    torch.testing.assert_close(
        torch.nn.functional.conv2d(image, state["conv0.weight"], state["conv0.bias"]), want, rtol=1e-4, atol=1e-4
    )
    for i, (kernel, *_) in enumerate(layers):
        assert state[f"conv{i}.weight"].shape == kernel.shape


def test_every_cut_file_is_refused() -> None:
    data, *_ = write()
    end = len(data) - 32
    for length in [*range(0, 400, 7), *range(400, end, end // 200), end - 1]:
        with pytest.raises(CheckpointError, match=r"toy\.dat"):
            descriptor_state(data[:length], "toy.dat")


def test_mutated_files_are_read_or_refused() -> None:
    data, *_ = write()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(100):
        changed = bytearray(data)
        # Around a tag, where the structure is: numbers can have any value.
        tags = [data.find(kind.encode(), int(rng.integers(len(data)))) for kind in ("con_4", "affine_", "fc_2")]
        place = max(tags) + int(rng.integers(-3, 24))
        changed[place % len(data)] = int(rng.integers(256))
        try:
            state = descriptor_state(bytes(changed), "toy.dat")
            assert all(value.isfinite().all() for value in state.values())
        except CheckpointError as error:
            refused += 1
            assert "toy.dat" in str(error)
    assert refused > 30


def test_numbers_that_are_not_finite_and_large_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data, layers, _ = write()
    first = layers[0][0].astype("<f4").tobytes()[:4]
    with pytest.raises(CheckpointError, match="not finite"):
        descriptor_state(data.replace(first, struct.pack("<f", float("inf")), 1), "toy.dat")
    monkeypatch.setattr("ganvert.assets.converters.dlib_dat.MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than the 1000"):
        descriptor_state(data, "toy.dat")

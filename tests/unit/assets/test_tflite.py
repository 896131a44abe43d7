"""The TFLite reader on files of the flatbuffers package's own writer, and on damaged ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ganvert.assets.converters.mobilefacenet import _NETWORK, mobilefacenet_state
from ganvert.assets.converters.tflite import read_tflite
from ganvert.base.errors import CheckpointError


@pytest.fixture(scope="module")
def small(write: Callable[..., bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(5, 3, 3, 2)).astype("f4"), rng.normal(size=5).astype("f4")
    return write([("conv", [kernel, bias]), ("relu", []), ("mul", [bias])]), kernel, bias


def test_operators_and_constants(small: tuple[bytes, np.ndarray, np.ndarray]) -> None:
    data, kernel, bias = small
    conv, relu, mul = read_tflite(data, "toy.tflite")
    assert [step.kind for step in (conv, relu, mul)] == ["conv", "relu", "mul"]
    assert conv.stride == (3, 2) and not conv.same  # f1 is the width's, f2 the height's; padding 1 is VALID
    np.testing.assert_array_equal(conv.constants[0], kernel)
    np.testing.assert_array_equal(conv.constants[1], bias)
    assert relu.constants == () and len(mul.constants) == 1 and mul.inputs == (4, 5)


def test_every_cut_file_is_refused_or_read(small: tuple[bytes, np.ndarray, np.ndarray]) -> None:
    data = small[0]
    for length in range(0, len(data) - 4, 3):
        with pytest.raises(CheckpointError, match=r"toy\.tflite"):
            read_tflite(data[:length], "toy.tflite")


def test_mutated_files_are_read_or_refused(small: tuple[bytes, np.ndarray, np.ndarray]) -> None:
    rng, refused = np.random.default_rng(1), 0
    for _ in range(500):
        changed = bytearray(small[0])
        for place in rng.integers(len(changed), size=3):
            changed[place] = int(rng.integers(256))
        try:
            read_tflite(bytes(changed), "toy.tflite")
        except CheckpointError:
            refused += 1
    assert refused > 30


def test_mobilefacenet_in_pytorchs_order(write: Callable[..., bytes]) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "conv": [rng.normal(size=(3, 1, 1, 2)), rng.normal(size=3)],
        "depthwise": [rng.normal(size=(1, 3, 3, 2)), rng.normal(size=2)],
        "mul": [rng.normal(size=2)],
    }
    data = write([(kind, constants.get(kind, [])) for kind in _NETWORK])
    state = mobilefacenet_state(data, "toy.tflite")
    assert len(state) == 2 * 52 + 33
    np.testing.assert_allclose(state["conv0.weight"], constants["conv"][0].transpose(0, 3, 1, 2), rtol=1e-6)
    np.testing.assert_allclose(state["conv1.weight"][1, 0], constants["depthwise"][0][0, :, :, 1], rtol=1e-6)
    np.testing.assert_allclose(state["prelu0.weight"], 2 * constants["mul"][0], rtol=1e-6)
    with pytest.raises(CheckpointError, match="not the 230 of MobileFaceNet"):
        mobilefacenet_state(write([("relu", [])]), "toy.tflite")
    with pytest.raises(CheckpointError, match="not a TFLite model"):
        mobilefacenet_state(b"no model at all", "toy.tflite")

"""The TFLite reader on files of the flatbuffers package's own writer, and on damaged ones."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
import pytest

from ganvert.assets.converters.mobilefacenet import _NETWORK, mobilefacenet_state
from ganvert.assets.converters.tflite import _KINDS, read_tflite
from ganvert.base.errors import CheckpointError

CODES = {name: code for code, name in _KINDS.items()}


def table(builder: flatbuffers.Builder, **fields: tuple[str, int]) -> int:
    """Write a table: f0=("UOffsetTRelative", place) or a number with its type."""
    builder.StartObject(max(int(name[1:]) for name in fields) + 1)
    for name, (kind, value) in fields.items():
        getattr(builder, f"Prepend{kind}Slot")(int(name[1:]), value, 0)
    return int(builder.EndObject())


def vector(builder: flatbuffers.Builder, items: Sequence[int], kind: str) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        getattr(builder, f"Prepend{kind}")(item)
    return int(builder.EndVector())


def write(operators: Sequence[tuple[str, Sequence[np.ndarray]]]) -> bytes:
    """Write a model whose operators take the result of the one before, and constants."""
    builder = flatbuffers.Builder(1024)
    kinds = sorted({kind for kind, _ in operators})
    codes = [table(builder, f0=("Int8", CODES[kind]), f3=("Int32", CODES[kind])) for kind in kinds]
    buffers, tensors, steps = [table(builder, f0=("UOffsetTRelative", 0))], [], []
    for kind, constants in operators:
        inputs = [len(tensors)]
        shape = vector(builder, [1, 4, 4, 1], "Int32")
        tensors.append(table(builder, f0=("UOffsetTRelative", shape), f2=("Uint32", 0)))
        for array in constants:
            inputs.append(len(tensors))
            data = builder.CreateByteVector(array.astype("<f4").tobytes())
            shape = vector(builder, array.shape, "Int32")
            tensors.append(table(builder, f0=("UOffsetTRelative", shape), f2=("Uint32", len(buffers))))
            buffers.append(table(builder, f0=("UOffsetTRelative", data)))
        options = table(builder, f0=("Int8", 1), f1=("Int32", 2), f2=("Int32", 3)) if "conv" in kind else 0
        given, result = vector(builder, inputs, "Int32"), vector(builder, [len(tensors)], "Int32")
        steps.append(
            table(
                builder,
                f0=("Uint32", kinds.index(kind)),
                f1=("UOffsetTRelative", given),
                f2=("UOffsetTRelative", result),
                **({"f4": ("UOffsetTRelative", options)} if options else {}),
            )
        )
    lists = [vector(builder, items, "UOffsetTRelative") for items in (tensors, steps)]
    graph = table(builder, f0=("UOffsetTRelative", lists[0]), f3=("UOffsetTRelative", lists[1]))
    parts = [vector(builder, items, "UOffsetTRelative") for items in (codes, [graph], buffers)]
    fields = {f"f{i}": ("UOffsetTRelative", part) for i, part in zip((1, 2, 4), parts, strict=True)}
    builder.Finish(table(builder, f0=("Uint32", 3), **fields), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def small() -> tuple[bytes, np.ndarray, np.ndarray]:
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


def test_mobilefacenet_in_pytorchs_order() -> None:
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

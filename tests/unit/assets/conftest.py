"""TFLite models of the flatbuffers package's own writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flatbuffers
import numpy as np
import pytest

from ganvert.assets.converters.tflite import _KINDS

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


def _write(operators: Sequence[tuple[str, Sequence[np.ndarray]]], strides: tuple[int, int] = (2, 3)) -> bytes:
    """Write a model whose operators take the result of the one before, and constants.

    `strides`, horizontal and vertical, are those of convolutions. A kind may say its own, as conv/2, or a slope, as
    leaky 0.3.
    """
    builder = flatbuffers.Builder(1024)
    kinds = sorted({_bare(kind) for kind, _ in operators})
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
        options = _options(builder, kind, strides)
        given, result = vector(builder, inputs, "Int32"), vector(builder, [len(tensors)], "Int32")
        steps.append(
            table(
                builder,
                f0=("Uint32", kinds.index(_bare(kind))),
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


def _bare(kind: str) -> str:
    return kind.split("/")[0].split(" ")[0]


def _options(builder: flatbuffers.Builder, kind: str, strides: tuple[int, int]) -> int:
    if kind.startswith("leaky"):
        return table(builder, f0=("Float32", float(kind.removeprefix("leaky"))))
    if not kind.startswith(("conv", "depthwise")):
        return 0
    across, down = (int(kind[-1]),) * 2 if "/" in kind else strides
    return table(builder, f0=("Int8", 1), f1=("Int32", across), f2=("Int32", down))


@pytest.fixture(scope="session")
def write() -> Callable[..., bytes]:
    """The writer."""
    return _write

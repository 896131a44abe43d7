"""MediaPipe's face stylizer from a .task file: a zip with a TFLite model, which is an encoder and a generator in one.

The files of all styles have the same encoder and the same mean w, so that one w drives all their generators.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.assets.converters.tflite import MAX_BYTES, Operator, leading_to, read_tflite
from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.ganvert_file import pack
from ganvert.generators import build_generator

__all__ = ["make_stylizer_encoder", "make_stylizer_generator", "stylizer_states"]

MEMBER = "face_stylizer.tflite"
#: Deviation of a coordinate of the encoder's offsets from the mean w: measured on four portraits of the public domain.
SPREAD = 0.58
#: Resolutions above 4 px, each with an upsampling and two modulated convolutions.
BLOCKS = 5
#: Separable convolutions of stride 2 for the rows of each third, by their widths.
WIDTHS = [[32, 32], [64, 32, 32], [48, 64, 64, 32, 32]]
#: Units of the MobileNet's stages, and whether the first one is added to its input.
STAGES = (2, 3, 4, 3)
ARCHITECTURE = {
    "space": "wplus",
    "backbone": "blaze",
    "neck": "none",
    "heads": {"thirds": {"widths": WIDTHS}},
    "input_px": 256,
    "passes": 1,
}

#: A step of the network: the kind of its operator, and what its weights are called; "" for none.
Step = tuple[str, str]


def make_stylizer_generator(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the generator's file; the only part is a .task file.

    Raises:
        CheckpointError: not that network.
    """
    generator, _ = stylizer_states(parts[0], product.members[0])
    return pack_product(product, "blaze_stylegan", generator)


def make_stylizer_encoder(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the encoder's file, for the generator of the first part; all parts are .task files.

    Raises:
        CheckpointError: not that network, or the parts have different encoders.
    """
    states = [stylizer_states(part, name) for part, name in zip(parts, product.members, strict=True)]
    (generator, encoder), *others = states
    for name, (_, other) in zip(product.members[1:], others, strict=True):
        if any(not torch.equal(value, other[key]) for key, value in encoder.items()):
            raise CheckpointError(f"{name}: another encoder than that of {product.members[0]}")
    metadata = {
        "kind": "encoder",
        "encoder": json.dumps(ARCHITECTURE, sort_keys=True),
        "generator": build_generator("blaze_stylegan", generator, {}).fingerprint(),
        "note": f"of {product.source.filename}, sha256 {product.source.sha256}",
    }
    return pack(encoder, metadata)


def stylizer_states(data: bytes, where: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of generator and encoder for PyTorch.

    Args:
        data: a .task file.
        where: its name, for messages.

    Raises:
        CheckpointError: damaged, too large, or another network.
    """
    operators = read_tflite(_model(data, where), where)
    ends = [operator for operator in operators if operator.kind == "tanh"]
    leading = leading_to(ends[0], operators) if len(ends) == 1 else []
    # Others have numbers for names: they move rows, read variables and work shapes out.
    found = [operator for operator in leading if not operator.kind.isdecimal() and operator.kind != "reshape"]
    encoder, generator = list(_encoder_steps()), list(_generator_steps())
    if [_kind(operator) for operator in found] != [kind for kind, _ in encoder + generator]:
        raise CheckpointError(f"{where}: {len(found)} operators, not those of the face stylizer in their order")
    states = []
    for steps, part in ((generator, found[len(encoder) :]), (encoder, found[: len(encoder)])):
        state: dict[str, Tensor] = {}
        for (_, name), operator in zip(steps, part, strict=True):
            if name:
                state |= _weights(name, operator, where)
        states.append(state)
    made, encoded = states
    for name in [name for name in made if name.endswith(".scale")]:
        layer = name.removesuffix(".scale")
        inputs = len(made[f"{layer}.affine.bias"]) * (1 if layer == "to_rgb" else 9)
        if not math.isclose(float(made.pop(name)), 1 / math.sqrt(inputs), rel_tol=1e-5):
            raise CheckpointError(f"{where}: {layer} scales its style by another number than 1 / sqrt({inputs})")
    made["w_avg"], made["spread"] = encoded.pop("w_avg"), torch.tensor(SPREAD)
    # The depthwise 1x1 of toRGB is a factor for every channel, as is its style.
    made["to_rgb.weight"] = made["to_rgb.weight"] * made.pop("to_rgb.factor")
    return made, encoded


def _model(data: bytes, where: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (size := archive.getinfo(MEMBER).file_size) > MAX_BYTES:
                raise CheckpointError(f"{where}: {MEMBER} has {size} bytes, more than the {MAX_BYTES} that are read")
            return archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, zlib.error, RuntimeError) as error:
        raise CheckpointError(f"{where}: not a .task file with {MEMBER}: {error}") from error


def _kind(operator: Operator) -> str:
    """Return the kind of an operator; convolutions with their stride and ReLUs with their slope where that matters."""
    if operator.kind in ("conv", "depthwise") and operator.stride != (1, 1):
        return f"{operator.kind}/{operator.stride[0]}"
    return f"leaky {operator.slope:.1f}" if operator.kind == "leaky" else operator.kind


def _weights(name: str, operator: Operator, where: str) -> dict[str, Tensor]:
    """Return the weights of an operator by our names.

    Raises:
        CheckpointError: a bias that our network has no place for, or rows of the mean w that differ.
    """
    first, *rest = (torch.from_numpy(array.astype(np.float32)) for array in operator.constants)
    if operator.kind == "custom":
        return {f"{name}.weight": first, f"{name}.bias": rest[0]}
    if operator.kind == "dense":
        return {f"{name}.weight": first.contiguous(), f"{name}.bias": rest[0]}
    if name == "const":
        return {name: first.permute(0, 3, 1, 2).contiguous()}
    if name == "w_avg":
        if not torch.equal(first, first[:, :1].expand_as(first)):
            raise CheckpointError(f"{where}: rows of the mean w differ")
        return {name: first[0, 0].clone()}
    if operator.kind in ("mul", "add"):
        return {name: first.flatten().squeeze()}
    # OHWI, or 1HWC where each channel has its own kernel, to OIHW.
    kernel = first.permute(0, 3, 1, 2) if operator.kind == "conv" else first.permute(3, 0, 1, 2)
    generators = name.split(".")[0] in ("first", "blocks", "to_rgb")
    bare = generators and not name.startswith("to_rgb") and ".up." not in name  # parameters, not modules
    if bare or name in ("to_rgb.factor", "to_rgb"):
        kernel = kernel if name.endswith("depthwise") else kernel.flatten(1).squeeze(1)
    named = {name if bare or name == "to_rgb.factor" else f"{name}.weight": kernel.contiguous()}
    plain = (generators and ".up." in name) or name in ("to_rgb", "to_rgb.conv")
    if plain or (name.endswith(".pointwise") and not bare):
        return {**named, f"{name}.bias": rest[0]}
    if rest[0].any():
        raise CheckpointError(f"{where}: {name} has a bias")
    return named


# --- the network, in the order of what leads to what -----------------------------------------------------------------


def _encoder_steps() -> Iterator[Step]:
    yield from [("conv/2", "backbone.first"), ("custom", "backbone.stem.0"), ("relu6", "")]
    yield from [("depthwise", "backbone.stem.2"), ("custom", "backbone.stem.3"), ("relu6", "")]
    yield from [("conv", "backbone.stem.5"), ("custom", "backbone.stem.6")]
    for stage, count in enumerate(STAGES):
        for unit in range(count):
            at = f"backbone.stages.{stage}.{unit}.layers"
            stride = "/2" if unit == 0 and stage < 3 else ""
            yield from [("conv", f"{at}.0"), ("custom", f"{at}.1"), ("relu6", "")]
            yield from [(f"depthwise{stride}", f"{at}.3"), ("custom", f"{at}.4"), ("relu6", "")]
            yield from [("conv", f"{at}.6"), ("custom", f"{at}.7")]
            if unit:
                yield "add", ""
    for i in range(3):
        yield from _separable(f"backbone.context.{i}")
        yield "leaky 0.2", ""
    yield "concat", ""
    yield from _separable("backbone.join")
    yield from [("add", ""), ("leaky 0.2", "")]
    yield from _block(0)
    for i in range(3):
        yield "bilinear", ""
        yield from _separable(f"backbone.levels.{i}.up")
        yield "leaky 0.2", ""
        yield from _separable(f"backbone.levels.{i}.inner")
        yield from _separable(f"backbone.levels.{i}.lateral")
        yield from [("add", ""), ("leaky 0.2", "")]
        if i != 1:  # no row reads the map of 64 px
            yield from _block(1 if i == 0 else 2)
    yield from [("concat", ""), ("add", "w_avg")]


def _separable(name: str, stride: str = "") -> Iterator[Step]:
    yield from [(f"depthwise{stride}", f"{name}.depthwise"), ("conv", f"{name}.pointwise")]


def _block(third: int) -> Iterator[Step]:
    at = f"heads.thirds.blocks.{third}"
    for i in range(len(WIDTHS[third])):
        yield from _separable(f"{at}.layers.{i}", "/2")
        yield "leaky 0.3", ""
    yield from [("dense", f"{at}.linear"), ("leaky 0.2", "")]


def _generator_steps() -> Iterator[Step]:
    convs = ["first", *(f"blocks.{i}.conv{j}" for i in range(BLOCKS) for j in (0, 1))]
    # The picture is the product of a style and a map, and so on back to the constant: the last style comes first.
    for name in ("to_rgb", *reversed(convs)):
        yield from [("dense", f"{name}.affine"), ("mul", f"{name}.scale")]
    for name in convs:
        if name.endswith("conv0"):
            at = name.replace("conv0", "up")
            yield from [
                ("nearest", ""),
                ("depthwise", f"{at}.depthwise"),
                ("leaky 0.2", ""),
                ("conv", f"{at}.pointwise"),
            ]
        if name == "first":
            yield "tile", "const"
        yield "mul", ""
        yield from [("conv", f"{name}.depthwise"), ("conv", f"{name}.pointwise")]
        # Noise, which is left out: times its strength, added.
        yield from [("mul", ""), ("add", ""), ("add", f"{name}.bias"), ("leaky 0.2", "")]
    yield from [("nearest", ""), ("depthwise", "to_rgb.up.depthwise"), ("leaky 0.2", "")]
    yield from [("conv", "to_rgb.up.pointwise"), ("leaky 0.2", ""), ("conv", "to_rgb.conv"), ("leaky 0.2", "")]
    yield from [("mul", ""), ("conv", "to_rgb.factor"), ("conv", "to_rgb"), ("tanh", "")]

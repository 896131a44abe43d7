"""Read an OpenVINO IR (XML graph + .bin) as data: constants only, nothing is executed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError

__all__ = ["mobile_stylegan_state", "read_constants"]

_DTYPES: dict[str, np.dtype] = {"f32": np.dtype("<f4"), "i64": np.dtype("<i8"), "i32": np.dtype("<i4")}


def read_constants(xml: bytes, weights: bytes, where: str) -> dict[str, Tensor]:
    """Return the constants of an IR by layer name, in the order of the graph.

    Raises:
        CheckpointError: the XML is no IR, or a constant lies outside the weights.
    """
    try:
        layers = ElementTree.fromstring(xml).find("layers")
    except ElementTree.ParseError as error:
        raise CheckpointError(f"{where}: not an OpenVINO IR ({error})") from error
    if layers is None:
        raise CheckpointError(f"{where}: not an OpenVINO IR (it has no layers)")
    constants: dict[str, Tensor] = {}
    for layer in layers:
        data = layer.find("data")
        if layer.get("type") != "Const" or data is None:
            continue
        attribute = {key: data.get(key, "") for key in ("element_type", "shape", "offset", "size")}
        dtype = _DTYPES.get(attribute["element_type"])
        offset, size = int(attribute["offset"]), int(attribute["size"])
        shape = [int(part) for part in attribute["shape"].split(",") if part.strip()]
        count = int(np.prod(shape)) if shape else 1
        # A span outside of the weights would read another constant, or fail far from here.
        if dtype is None or offset < 0 or offset + size > len(weights) or count * dtype.itemsize != size:
            raise CheckpointError(f"{where}: constant {layer.get('name')!r} does not fit the weights file")
        array = np.frombuffer(weights, dtype, count, offset).reshape(shape)
        constants[layer.get("name", "")] = torch.from_numpy(array.copy())
    return constants


def mobile_stylegan_state(mapping: dict[str, Tensor], synthesis: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the constants of the exported MobileStyleGAN as our module does (all but ``w_avg``).

    The export folded demodulation into unnamed weights (`Mul_*_copy`, in execution order) and left the noise maps
    unnamed: they are the 1x1xHxH constants, again in execution order.
    """
    try:
        return _state(mapping, synthesis)
    except (KeyError, StopIteration, RuntimeError) as error:
        raise CheckpointError(f"the IR is not the exported MobileStyleGAN: {error!r}") from error


def _state(mapping: dict[str, Tensor], synthesis: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = [value for value in mapping.values() if value.ndim == 2 and value.shape == (512, 512)]
    biases = [value.flatten() for value in mapping.values() if value.numel() == 512]
    state: dict[str, Tensor] = {}
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        state[f"mapping.layers.{i}.weight"], state[f"mapping.layers.{i}.bias"] = weight, bias
    folded = iter(value for name, value in synthesis.items() if name.startswith("Mul_") and name.endswith("_copy"))
    noise = iter(
        value for value in synthesis.values() if value.ndim == 4 and value.shape[:2] == (1, 1) and value.shape[2] > 3
    )

    def affine(ours: str, theirs: str) -> None:
        state[f"{ours}.weight"] = synthesis[f"{theirs}.modulation.weight"]
        state[f"{ours}.bias"] = synthesis[f"{theirs}.modulation.bias"].flatten()

    state["const"] = synthesis["m.input.input"]
    affine("conv1.affine", "m.conv1.conv")
    state["conv1.weight"] = next(folded)
    state["conv1.bias"] = synthesis["m.conv1.bias"].flatten()
    state["conv1.noise"] = next(noise)
    count = len({name.split(".")[2] for name in synthesis if name.startswith("m.layers.")})
    for i in range(count):
        ours, theirs = f"layers.{i}", f"m.layers.{i}"
        affine(f"{ours}.up", f"{theirs}.up")
        for conv in ("conv1", "conv2"):
            affine(f"{ours}.{conv}.affine", f"{theirs}.{conv}.conv")
            state[f"{ours}.{conv}.depthwise"] = synthesis[f"{theirs}.{conv}.conv.weight_dw"].reshape(-1, 1, 3, 3)
            state[f"{ours}.{conv}.pointwise"] = next(folded).flatten(1)
            state[f"{ours}.{conv}.bias"] = synthesis[f"{theirs}.{conv}.bias"].flatten()
            state[f"{ours}.{conv}.noise"] = next(noise)
    last = f"m.layers.{count - 1}.to_img"
    affine("to_img.affine", f"{last}.conv")
    state["to_img.weight"] = synthesis[f"{last}.conv.weight"].flatten(1)
    state["to_img.bias"] = synthesis[f"{last}.bias"].flatten()
    return state

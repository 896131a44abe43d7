"""StyleGAN2 of the official TensorFlow code (NVlabs/stylegan2, stylegan2-ada)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.stylegan2 import assemble, rename
from ganvert.checkpoints.tensorflow import check_built_in, network_of, synthesis_has

__all__ = ["matches", "read"]

FORMAT = "tensorflow_stylegan2"

#: Arguments of the official code that our network has one value of (training/networks_stylegan2.py, defaults).
BUILT_IN: dict[str, tuple[Any, ...]] = {
    "mapping_nonlinearity": ("lrelu",),
    "nonlinearity": ("lrelu",),
    "normalize_latents": (True,),
    "normalize_z": (True,),
    "resample_kernel": (None, [1, 3, 3, 1], (1, 3, 3, 1)),
}
PARTS = {
    "weight": "weight",
    "bias": "bias",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
    "noise_strength": "noise_strength",
}
LAYERS = {"Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}


def matches(content: Content) -> bool:
    """Whether the file holds the official TensorFlow StyleGAN2."""
    return synthesis_has(content, "4x4/Conv/mod_weight")


def read(content: Content) -> Checkpoint:
    """The averaged generator Gs."""
    network = network_of(content)
    mapping, synthesis = network.component("mapping"), network.component("synthesis")
    kwargs = {**network.kwargs, **mapping.kwargs, **synthesis.kwargs}
    check_built_in(kwargs, BUILT_IN, FORMAT)
    source = {**network.variables, **mapping.variables, **synthesis.variables}
    lod = source.pop("lod", None)
    if lod is not None and np.any(lod != 0):
        raise CheckpointError(f"{FORMAT}: progressive growing has not ended (lod {str(lod)[:40]}, wanted 0)")
    # Networks of the original architecture keep outputs of all sizes; the last draws.
    smaller = [name for name in source if re.match(r"ToRGB_lod0*[1-9]", name)]
    last = max((int(found[1]) for name in source if (found := re.match(r"(\d{1,4})x\1/", name))), default=4)
    names = rename((name for name in source if name not in smaller), lambda name: _ours(name, last), FORMAT)
    notes = ["G, D: not the generator used"] if isinstance(content.root, tuple | list) else []
    notes += [f"{name}: only the output of the largest resolution draws" for name in smaller]
    return assemble(content, source, names, format=FORMAT, turn=_turn, config=_config(kwargs), ignored=tuple(notes))


def _ours(name: str, last: int) -> str | None:
    """Our name of a variable; None for one that a StyleGAN2 does not have. `last` is the size of the picture."""
    plain = {
        "dlatent_avg": "w_avg",
        "4x4/Const/const": "synthesis.b4.const",
        "LabelConcat/weight": "mapping.label_weight",
        "LabelEmbed/weight": "mapping.embed.weight",
        "LabelEmbed/bias": "mapping.embed.bias",
    }
    if name in plain:
        return plain[name]
    if found := re.fullmatch(r"Dense(\d{1,3})/(weight|bias)", name):
        return f"mapping.fc{found[1]}.{found[2]}"
    if found := re.fullmatch(r"noise(\d{1,2})", name):
        index = int(found[1])
        return f"synthesis.b{4 * 2 ** ((index + 1) // 2)}.conv{1 - index % 2}.noise_const"
    if found := re.fullmatch(r"(?:(\d{1,4})x\1/)?(\w+)/(\w+)", name):
        size, layer, part = found[1], found[2], found[3]
        if layer == "ToRGB_lod0" and size is None:
            size, layer = str(last), "ToRGB"
        elif (size, layer) == ("4", "Conv"):
            layer = "Conv1"
        if size is not None and layer in LAYERS and part in PARTS:
            return f"synthesis.b{size}.{LAYERS[layer]}.{PARTS[part]}"
    return None


def _turn(ours: str, value: Tensor) -> Tensor:
    if ours.endswith(("conv0.weight", "conv1.weight", "torgb.weight", "skip.weight")):
        kernel = _ranked(ours, value, 4).permute(3, 2, 0, 1)
        return kernel.flip(2, 3) if ours.endswith("conv0.weight") else kernel
    if ours.endswith(".weight"):
        return _ranked(ours, value, 2).T
    return value + 1 if ours.endswith("affine.bias") else value  # their code adds the one


def _ranked(ours: str, value: Tensor, axes: int) -> Tensor:
    if value.ndim != axes:
        raise CheckpointError(f"{FORMAT}: {ours} has shape {list(value.shape)}, wanted {axes} axes")
    return value


def _config(kwargs: Mapping[str, Any]) -> dict[str, float]:
    config = {}
    for theirs, ours, usual in (("mapping_lrmul", "lr_multiplier", 0.01), ("conv_clamp", "conv_clamp", None)):
        value = kwargs.get(theirs, usual)
        if value != usual:
            config[ours] = value  # the network refuses what is no number
    return config

"""StyleGAN2 of the official TensorFlow code (NVlabs/stylegan2, stylegan2-ada)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.stylegan2 import KERNELS, add_one_to_styles, assemble, conv_name, rename
from ganvert.checkpoints.tensorflow import generator_of, synthesis_has
from ganvert.checkpoints.tensors import flip_kernel, hwio_to_oihw, transpose

__all__ = ["matches", "read"]

FORMAT = "tensorflow_stylegan2"

#: Arguments with a single value in our network (training/networks_stylegan2.py, defaults).
BUILT_IN: dict[str, tuple[Any, ...]] = {
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
    """Return whether the file holds the official TensorFlow StyleGAN2."""
    return synthesis_has(content, "4x4/Conv/mod_weight")


def read(content: Content) -> Checkpoint:
    """Read the averaged generator Gs."""
    generator = generator_of(content, BUILT_IN, FORMAT)
    source = dict(generator.variables)
    lod = source.pop("lod", None)
    if lod is not None and np.any(lod != 0):
        raise CheckpointError(f"{FORMAT}: progressive growing has not ended (lod {str(lod)[:40]}, wanted 0)")
    # Networks of the 'orig' architecture keep outputs of all resolutions; only the last is used.
    smaller = [name for name in source if re.match(r"ToRGB_lod0*[1-9]", name)]
    last = max((int(match[1]) for name in source if (match := re.match(r"(\d{1,4})x\1/", name))), default=4)
    names = rename((name for name in source if name not in smaller), lambda name: _ours(name, last), FORMAT)
    notes = [f"{name}: only the output of the largest resolution is used" for name in smaller]
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        relayout=_relayout,
        config=_config(generator.kwargs),
        ignored=(*generator.ignored, *notes),
    )


def _ours(name: str, last: int) -> str | None:
    """Return our name of a variable, None for one that a StyleGAN2 does not have; `last` is the image's size."""
    plain = {
        "dlatent_avg": "w_avg",
        "4x4/Const/const": "synthesis.b4.const",
        "LabelConcat/weight": "mapping.label_weight",
        "LabelEmbed/weight": "mapping.embed.weight",
        "LabelEmbed/bias": "mapping.embed.bias",
    }
    if name in plain:
        return plain[name]
    if match := re.fullmatch(r"Dense(\d{1,3})/(weight|bias)", name):
        return f"mapping.fc{match[1]}.{match[2]}"
    if match := re.fullmatch(r"noise(\d{1,2})", name):
        return f"{conv_name(int(match[1]))}.noise_const"
    if match := re.fullmatch(r"(?:(\d{1,4})x\1/)?(\w+)/(\w+)", name):
        size, layer, part = match[1], match[2], match[3]
        if layer == "ToRGB_lod0" and size is None:
            size, layer = str(last), "ToRGB"
        elif (size, layer) == ("4", "Conv"):
            layer = "Conv1"
        if size is not None and layer in LAYERS and part in PARTS:
            return f"synthesis.b{size}.{LAYERS[layer]}.{PARTS[part]}"
    return None


def _relayout(ours: str, value: Tensor) -> Tensor:
    where = f"{FORMAT}: {ours}"
    if ours.endswith(KERNELS):
        kernel = hwio_to_oihw(value, where)
        # Their upsampling flips the kernel before its transposed convolution (upsample_conv_2d); ours does not.
        return flip_kernel(kernel, where) if ours.endswith("conv0.weight") else kernel
    if ours.endswith(".weight"):
        return transpose(value, where)
    return add_one_to_styles(ours, value)


def _config(kwargs: Mapping[str, Any]) -> dict[str, float]:
    config = {}
    for theirs, ours, usual in (("mapping_lrmul", "lr_multiplier", 0.01), ("conv_clamp", "conv_clamp", None)):
        value = kwargs.get(theirs, usual)
        if value != usual:
            config[ours] = value  # the network refuses anything that is not a number
    return config

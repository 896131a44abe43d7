"""StyleGAN1 of the official TensorFlow code (NVlabs/stylegan)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.stylegan1 import FUSED_FROM, Relayout, assemble, count_layers
from ganvert.checkpoints.tensorflow import TfNetwork, generator_of, synthesis_has
from ganvert.checkpoints.tensors import flip_kernel, hwio_to_oihw, transpose

__all__ = ["matches", "read"]

FORMAT = "tensorflow_stylegan1"

#: Arguments with a single value in our network (networks_stylegan.py, defaults of G_style).
BUILT_IN: dict[str, tuple[Any, ...]] = {
    "blur_filter": ([1, 2, 1],),
    "const_input_layer": (True,),
    "mapping_use_wscale": (True,),
    "use_instance_norm": (True,),
    "use_pixel_norm": (False,),
    "use_styles": (True,),
    "use_wscale": (True,),
}
PARTS = {
    "bias": "bias",
    "noise_weight": "Noise/weight",
    "style.weight": "StyleMod/weight",
    "style.bias": "StyleMod/bias",
}


def matches(content: Content) -> bool:
    """Return whether the file holds the official TensorFlow StyleGAN1."""
    return synthesis_has(content, "4x4/Const/StyleMod/weight")


def read(content: Content) -> Checkpoint:
    """Read the averaged generator Gs."""
    generator = generator_of(content, BUILT_IN, FORMAT)
    layers = count_layers(generator.synthesis.variables, lambda i: f"{_scope(i)}/bias")
    names = _mapping_names(generator.mapping) | {"w_avg": "dlatent_avg"}
    relayouts: dict[str, Relayout] = {name: transpose for name in names if name.endswith("weight") and ".fc" in name}
    for i in range(layers):
        ours, theirs = f"synthesis.layer{i}", _scope(i)
        names |= {f"{ours}.{part}": f"{theirs}/{name}" for part, name in PARTS.items()}
        names[f"{ours}.noise_const"] = f"noise{i}"
        relayouts[f"{ours}.style.weight"] = transpose
        if i == 0:
            names[f"{ours}.const"] = f"{theirs}/const"
        else:
            names[f"{ours}.weight"] = f"{theirs}/weight"
            relayouts[f"{ours}.weight"] = _fused_kernel if _is_fused(i, generator.kwargs) else hwio_to_oihw
    names |= {f"synthesis.output.{part}": f"ToRGB_lod0/{part}" for part in ("weight", "bias")}
    relayouts["synthesis.output.weight"] = hwio_to_oihw
    return assemble(
        content,
        generator.variables,
        names,
        format=FORMAT,
        relayouts=relayouts,
        lod="lod",
        config=_config(generator.kwargs),
        ignored=generator.ignored,
    )


def _mapping_names(mapping: TfNetwork) -> dict[str, str]:
    names: dict[str, str] = {}
    for i in range(count_layers(mapping.variables, "Dense{}/weight".format)):
        names |= {f"mapping.fc{i}.{part}": f"Dense{i}/{part}" for part in ("weight", "bias")}
    if "LabelConcat/weight" in mapping.variables:
        names["mapping.label_weight"] = "LabelConcat/weight"
    return names


def _scope(layer: int) -> str:
    """Return the official code's name of a layer."""
    if layer < 2:
        return ("4x4/Const", "4x4/Conv")[layer]
    size = 4 * 2 ** (layer // 2)
    return f"{size}x{size}/" + ("Conv0_up", "Conv1")[layer % 2]


def _fused_kernel(kernel: Tensor, where: str) -> Tensor:
    return flip_kernel(hwio_to_oihw(kernel, where), where)


def _is_fused(layer: int, kwargs: Mapping[str, Any]) -> bool:
    """Return whether a layer upsamples by a transposed convolution."""
    rule = kwargs.get("fused_scale", "auto")
    if layer % 2:
        return False
    if isinstance(rule, str) and rule == "auto":
        return 4 * 2 ** (layer // 2) >= FUSED_FROM
    if not isinstance(rule, bool):
        raise CheckpointError(f"{FORMAT}: fused_scale={rule!r} is neither 'auto' nor a truth value")
    return rule


def _config(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    multiplier = kwargs.get("mapping_lrmul", 0.01)
    if type(multiplier) not in (int, float):
        raise CheckpointError(f"{FORMAT}: mapping_lrmul={multiplier!r} is not a number")
    return {} if multiplier == 0.01 else {"lr_multiplier": multiplier}

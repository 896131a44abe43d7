"""StyleGAN2 of genforce and BDInvert."""

from __future__ import annotations

import re

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.states import StateDict, find_state
from ganvert.checkpoints.stylegan2 import add_one_to_styles, assemble, conv_name, rename
from ganvert.checkpoints.tensors import flip_kernel

__all__ = ["matches", "read"]

FORMAT = "genforce_stylegan2"
MARKS = ("mapping.dense0.weight", "synthesis.early_layer.const", "synthesis.layer0.noise_strength")
PLAIN = {
    "mapping.label_weight": "mapping.label_weight",
    "truncation.w_avg": "w_avg",
    "synthesis.early_layer.const": "synthesis.b4.const",
}
PARTS = {
    "weight": "weight",
    "bias": "bias",
    "noise_strength": "noise_strength",
    "noise": "noise_const",
    "style.weight": "affine.weight",
    "style.bias": "affine.bias",
}
BLUR = re.compile(r"synthesis\.(layer\d{1,2}\.filter|upsample)\.kernel")


def matches(content: Content) -> bool:
    """Return whether the averaged generator has the names of genforce's StyleGAN2."""
    return _generator(content) is not None


def _generator(content: Content) -> StateDict | None:
    return find_state(content, lambda tensors: all(name in tensors for name in MARKS))


def read(content: Content) -> Checkpoint:
    """Read the averaged generator."""
    found = _generator(content)
    if found is None:
        raise CheckpointError(f"{FORMAT}: no generator with these names")
    source = found.tensors
    blurs = [name for name in source if BLUR.fullmatch(name)]
    names = rename((name for name in source if name not in blurs), _ours, FORMAT)
    style, mean = (source.get(name) for name in ("synthesis.layer0.style.weight", "truncation.w_avg"))
    if isinstance(style, Tensor) and isinstance(mean, Tensor) and style.ndim == 2 and mean.numel() != style.shape[1]:
        raise CheckpointError(
            f"{FORMAT}: truncation.w_avg has shape {list(mean.shape)} and layers read {style.shape[1]} numbers; "
            "networks that map z to a separate w for every layer (repeat_w=False) are not read"
        )
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        relayout=_relayout,
        config={"scaled_demodulation": True},
        blurs=blurs,
        ignored=found.notes,
    )


def _relayout(ours: str, value: Tensor) -> Tensor:
    if ours.endswith("conv0.weight"):
        # Upsampling kernels are stored for a correlation after zero insertion; ours are for a transposed convolution.
        return flip_kernel(value, f"{FORMAT}: {ours}")
    return add_one_to_styles(ours, value)


def _ours(name: str) -> str | None:
    """Return our name of a tensor; None for one that a StyleGAN2 does not have."""
    if name in PLAIN:
        return PLAIN[name]
    if match := re.fullmatch(r"mapping\.dense(\d{1,3})\.(weight|bias)", name):
        return f"mapping.fc{match[1]}.{match[2]}"
    if match := re.fullmatch(r"synthesis\.(layer|output)(\d{1,2})\.(.*)", name):
        kind, index, part = match[1], int(match[2]), match[3]
        if part not in PARTS or (kind == "output" and "noise" in part):
            return None
        if kind == "output":
            return f"synthesis.b{4 * 2**index}.torgb.{PARTS[part]}"
        # Layer 0 is conv1 at 4 px; then each resolution has an upsampling conv0 (odd) and a conv1 (even).
        return f"{conv_name(index)}.{PARTS[part]}"
    return None

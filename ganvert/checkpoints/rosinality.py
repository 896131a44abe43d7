"""StyleGAN2 of rosinality/stylegan2-pytorch, alone or as the decoder of pSp and e4e."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.states import StateDict, find_state
from ganvert.checkpoints.stylegan2 import assemble, conv_name, rename

__all__ = ["matches", "read"]

FORMAT = "rosinality"
MARKS = ("input.input", "conv1.conv.weight", "style.1.weight")
DECODER = "decoder."
MEAN = "latent_avg"
PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # of toRGB
}
BLUR = re.compile(r"convs\.\d{1,2}\.conv\.blur\.kernel|to_rgbs\.\d{1,2}\.upsample\.kernel")


def matches(content: Content) -> bool:
    """Return whether the file holds a generator with rosinality's names."""
    return _generator(content) is not None


def read(content: Content) -> Checkpoint:
    """Read the averaged generator."""
    found = _generator(content)
    if found is None:
        raise CheckpointError(f"{FORMAT}: no generator with these names, in none of the usual places")
    source = _bare(found.tensors)
    blurs = [name for name in source if BLUR.fullmatch(name)]
    names = rename((name for name in source if name not in blurs), _ours, FORMAT)
    notes = [note for note in found.notes if not note.startswith(f"{MEAN}:")]
    if any(name.startswith(DECODER) for name in found.tensors):
        notes.insert(0, "encoder.*: not the generator used")
    mean = content.root.get(MEAN)
    if mean is not None:
        mean, note = _mean(mean)
        source, names = {**source, MEAN: mean}, {**names, MEAN: "w_avg"}
        notes += note
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        relayout=lambda _, value: value,  # the layout is ours but for axes of size 1
        config={"scaled_demodulation": True},
        blurs=blurs,
        ignored=tuple(notes),
    )


def _generator(content: Content) -> StateDict | None:
    return find_state(content, lambda tensors: all(name in _bare(tensors) for name in MARKS))


def _bare(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the decoder of an encoder's file, with its bare names; anything else as it is."""
    decoder = {name.removeprefix(DECODER): value for name, value in tensors.items() if name.startswith(DECODER)}
    return decoder or {name: value for name, value in tensors.items() if name != MEAN}


def _mean(mean: Any) -> tuple[Any, list[str]]:
    """Return the mean w, and notes, from [w_dim], or from pSp's and e4e's [rows, w_dim] or [1, rows, w_dim]."""
    if not isinstance(mean, Tensor) or not 1 <= mean.ndim <= 3 or not mean.numel():
        raise CheckpointError(f"{FORMAT}: {MEAN} is not a tensor of one or several w")
    rows = mean.reshape(-1, mean.shape[-1])
    if torch.equal(rows, rows[:1].expand_as(rows)):
        return rows[0], []
    return rows.float().mean(dim=0), [f"assumed: {MEAN} differs between its {len(rows)} rows, their mean was taken"]


def _ours(name: str) -> str | None:
    """Return our name of a tensor; None for one that a StyleGAN2 does not have."""
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"  # style.0 is the normalisation of z
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"{conv_name(int(match[1]))}.noise_const"
    if match := re.fullmatch(r"(conv1|to_rgb1|(?:convs|to_rgbs)\.\d{1,2})\.(.*)", name):
        layer, _, index = match[1].partition(".")
        if match[2] not in PARTS or (match[2] == "bias" and layer.startswith("conv")):
            return None
        if layer.startswith("conv"):
            place = conv_name(int(index) + 1 if index else 0)
        else:
            place = f"synthesis.b{8 * 2 ** int(index) if index else 4}.torgb"
        return f"{place}.{PARTS[match[2]]}"
    return None

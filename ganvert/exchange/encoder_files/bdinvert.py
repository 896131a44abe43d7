"""The base-code encoder of BDInvert (kkang831/BDInvert_Release): the entry `encoder` of its training's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.unpickle import brief
from ganvert.encoders import EncoderSpec
from ganvert.exchange.encoder_files.base import ForeignEncoder, ReadOptions, has_all, names_of, rename

__all__ = ["matches", "read"]

#: Place of each convolution in their sequence -> ours. BN is one place behind each but the last.
CONVS = {
    0: "backbone.layers.0",
    3: "backbone.layers.1",
    6: "backbone.layers.2",
    10: "backbone.layers.4",
    13: "backbone.layers.5",
    16: "backbone.layers.6",
    20: "backbone.layers.8",
    23: "backbone.layers.9",
    26: "backbone.layers.10",
    30: "heads.base_code.layers.0",
    33: "heads.base_code.layers.1",
}
LAST = 33


def matches(content: Content) -> bool:
    """Return whether the file holds this encoder, with the rest of its training or alone."""
    return has_all(_state(content.root), *(f"model.{place}.weight" for place in CONVS))


def read(content: Content, options: ReadOptions) -> ForeignEncoder:
    """Read the encoder; see :class:`~ganvert.exchange.encoder_files.base.EncoderFile`."""
    state = _state(content.root)
    tensors, unknown = rename(state, _ours, "bdinvert")
    if unknown:
        raise CheckpointError(f"not part of BDInvert's encoder: {', '.join(map(brief, unknown[:5]))}")
    for place, ours in CONVS.items():
        bias = tensors.get(f"{ours}.0.bias")
        if place == LAST or bias is None:
            continue
        mean = tensors.get(f"{ours}.1.running_mean")
        if mean is None or mean.shape != bias.shape:
            raise CheckpointError(f"model.{place + 1}.running_mean is missing, or of another shape than the bias")
        # Ours has no bias in front of BN: x + b - mean is x - (mean - b).
        tensors[f"{ours}.1.running_mean"] = mean.to(torch.float64).sub(bias).float()
        del tensors[f"{ours}.0.bias"]
    px = options.feature_px
    width = int(tensors[f"{CONVS[30]}.0.weight"].shape[0])
    head: dict[str, Any] = {"size": px} | ({} if width == 512 else {"width": width})
    spec = EncoderSpec(space=f"f{px}/wplus", backbone="plain", heads={"base_code": head}, input_px=8 * px)
    notes = (
        f"assumed: a base code of {px} px, from pictures of {8 * px} px (--feature-px)",
        "the tool shrinks pictures by LANCZOS, we by area",
    )
    return ForeignEncoder(tool="bdinvert", spec=spec, tensors=tensors, notes=notes)


def _state(root: Any) -> Mapping[str, Any]:
    return names_of(root.get("encoder", root) if isinstance(root, dict) else None)


def _ours(name: str) -> str | None:
    """Return our name of a tensor; None for one that the encoder does not have."""
    match = re.fullmatch(r"model\.(\d{1,2})\.(\w+)", name)
    if match is None:
        return None
    place, part = int(match[1]), match[2]
    if place == LAST:
        return f"{CONVS[place]}.{part}"
    if place in CONVS:
        return f"{CONVS[place]}.0.{part}"
    return f"{CONVS[place - 1]}.1.{part}" if place - 1 in CONVS else None

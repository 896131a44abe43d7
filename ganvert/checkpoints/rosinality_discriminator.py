"""Discriminator of rosinality/stylegan2-pytorch."""

from __future__ import annotations

import re

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.rosinality import FORMAT
from ganvert.checkpoints.stylegan2 import check_blurs, rename
from ganvert.checkpoints.tensors import take

__all__ = ["read"]

FIRST = {"0.weight": "fromrgb.weight", "1.bias": "fromrgb.bias"}
LAST = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}
PARTS = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
BLOCK = re.compile(r"convs\.(\d{1,2})\.(.*)")
BLUR = re.compile(r"convs\.\d{1,2}\.(conv2|skip)\.0\.kernel")


def read(content: Content) -> Checkpoint | None:
    """Read the discriminator ``d``; returns None if the file has none.

    Raises:
        CheckpointError: it is damaged, or another network.
    """
    source = content.root.get("d")
    if source is None:
        return None
    if not isinstance(source, dict) or not all(isinstance(name, str) for name in source):
        raise CheckpointError(f"{FORMAT}: d is not a table of names")
    largest = max((int(match[1]) for name in source if (match := BLOCK.fullmatch(name))), default=0)

    def ours(name: str) -> str | None:
        match = BLOCK.fullmatch(name)
        if match is None:
            return LAST.get(name)
        index = int(match[1])  # 0 is fromRGB, which belongs to the first block of ours; blocks count down to 8 px
        part = PARTS.get(match[2]) if index else FIRST.get(match[2])
        return part and f"b{4 * 2 ** (largest - max(index, 1) + 1)}.{part}"

    blurs = [name for name in source if BLUR.fullmatch(name)]
    names = rename((name for name in source if name not in blurs), ours, f"{FORMAT}: d")
    tensors = take(content, source, f"{FORMAT}: d")
    check_blurs({name: tensors[name] for name in blurs}, FORMAT, gain=1)
    state = {own: tensors[theirs] for theirs, own in names.items()}
    return Checkpoint(format=FORMAT, architecture="stylegan2", state=state, config={})

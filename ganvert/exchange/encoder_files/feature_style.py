"""The file of FeatureStyleEncoder (InterDigitalInc/FeatureStyleEncoder): a bare state dict, no generator, no mean w."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.tensors import Joined
from ganvert.checkpoints.unpickle import brief
from ganvert.encoders import EncoderSpec
from ganvert.exchange.encoder_files.base import ForeignEncoder, ReadOptions, has_all, names_of, rename

__all__ = ["matches", "read"]

FEATURE_PX = 16  # config 001, the published one: the stride of the last convolution is not in the file
MARKS = ("conv.0.weight", "block_1.0.conv1.weight", "content_layer.1.weight", "styles.0.weight")
_UNIT = {
    "bn1": "branch.0",
    "conv1": "branch.1",
    "bn2": "branch.2",
    "prelu": "branch.3",
    "conv2": "branch.4",
    "bn3": "branch.5",
    "downsample.0": "around.0",
    "downsample.1": "around.1",
}


def matches(content: Content) -> bool:
    """Return whether the file holds this encoder, as published or as its training saves it."""
    return has_all(_state(content.root), *MARKS)


def read(content: Content, options: ReadOptions) -> ForeignEncoder:
    """Read the encoder; see :class:`~ganvert.exchange.encoder_files.base.EncoderFile`."""
    del options
    state = _state(content.root)
    styles = {name: value for name, value in state.items() if name.startswith("styles.")}
    tensors, unknown = rename({name: state[name] for name in state if name not in styles}, _ours, "feature_style")
    if unknown:
        raise CheckpointError(f"not part of a FeatureStyleEncoder: {', '.join(map(brief, unknown[:5]))}")
    rows = (len(styles) + 1) // 2
    wanted = {f"styles.{row}.{part}" for row in range(rows) for part in ("weight", "bias")}
    if extra := sorted(styles.keys() - wanted):
        raise CheckpointError(f"not part of a FeatureStyleEncoder: {', '.join(map(brief, extra[:5]))}")
    for part in ("weight", "bias"):
        # One linear layer per row; ours is a single one, whose outputs are the rows one after the other.
        pieces = [styles.get(f"styles.{row}.{part}") for row in range(rows)]
        if len({_shape(piece) for piece in pieces}) != 1 or not isinstance(pieces[0], Tensor):
            raise CheckpointError(f"styles.N.{part}: wanted tensors of one shape, numbered from 0 on")
        tensors[f"heads.pooled.rows.linear.{part}"] = Joined(tuple(pieces))  # type: ignore[arg-type]
    width = tensors["heads.content.layers.1.weight"].shape[0]
    spec = EncoderSpec(
        space=f"fs{FEATURE_PX}/wplus",
        backbone="iresnet50",
        heads={"pooled": {}, "content": {"size": FEATURE_PX} | ({} if width == 512 else {"width": int(width)})},
        input_px=256,
    )
    notes = (
        "assumed: no mean w in the file, the generator's was taken",
        f"the feature of {FEATURE_PX} px acts behind the first convolution of its size, in the tool behind the second: "
        "the prediction is the tool's, the picture is not",
    )
    return ForeignEncoder(tool="feature_style", spec=spec, tensors=tensors, rows=rows, notes=notes)


def _state(root: Any) -> Mapping[str, Any]:
    return names_of(root.get("enc_state_dict", root) if isinstance(root, dict) else None)


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _ours(name: str) -> str | None:
    """Return our name of a tensor; None for one that the encoder does not have."""
    if match := re.fullmatch(r"conv\.([012])\.(\w+)", name):
        return f"backbone.stem.{match[1]}.{match[2]}"
    if match := re.fullmatch(r"content_layer\.([0-5])\.(\w+)", name):
        return f"heads.content.layers.{match[1]}.{match[2]}"
    if (match := re.fullmatch(r"block_([1-4])\.(\d{1,2})\.(.*)\.(\w+)", name)) and match[3] in _UNIT:
        return f"backbone.stages.{int(match[1]) - 1}.{match[2]}.{_UNIT[match[3]]}.{match[4]}"
    return None

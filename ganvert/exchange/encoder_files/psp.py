"""Files of pSp, e4e, ReStyle over both, and their encoders into W: `state_dict`, `opts`, `latent_avg`.

Names, shapes and conventions are those of the releases (eladrich/pixel2style2pixel, omertov/encoder4editing,
yuval-alaluf/restyle-encoder, yuval-alaluf/hyperstyle). e4e and pSp have equal tensors, and so have ReStyle over e4e and
over pSp: only the options of the training, which the files hold, tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError, ParamsError
from ganvert.checkpoints.base import Content, Instance
from ganvert.checkpoints.unpickle import brief
from ganvert.encoders import BACKBONES, EncoderSpec
from ganvert.encoders.backbones.resnet_ir import ResNetIR
from ganvert.exchange.encoder_files.base import ForeignEncoder, ReadOptions, fold, has_all, names_of, rename

__all__ = ["matches", "read"]

PASSES = 5  # of ReStyle's inference, whatever its training had
#: encoder_type of the options -> what its rows are
TYPES = {
    "Encoder4Editing": "e4e",
    "GradualStyleEncoder": "psp",
    "ResNetGradualStyleEncoder": "psp",
    "BackboneEncoder": "restyle_psp",
    "ResNetBackboneEncoder": "restyle_psp",
    "ProgressiveBackboneEncoder": "restyle_e4e",
    "ResNetProgressiveBackboneEncoder": "restyle_e4e",
    "SingleStyleCodeEncoder": "w",
    "BackboneEncoderUsingLastLayerIntoW": "w",
    "WEncoder": "w",
    "BackboneEncoderUsingLastLayerIntoWPlus": "wplus",
}
#: What else keeps its generator as `decoder.*`, and is no encoder.
OTHERS = {
    "hypernet": "a hypernetwork of HyperStyle, which changes a generator's weights and predicts no code. The file of "
    "its W encoder is read",
    "mapper": "a mapper of StyleCLIP, which edits codes and predicts none. The codes and directions of StyleCLIP are "
    "read by `ganvert import-codes` and `ganvert directions import`",
}
#: Input channels of encoders that do not read photographs.
INPUTS = {1: "sketches", 19: "label maps"}

_STEMS = {"ir50": "input_layer.0.weight", "resnet34": "conv1.weight"}
_IR_BRANCH = {f"res_layer.{i}": f"branch.{i}" for i in range(5)} | {
    "res_layer.5.fc1": "branch.5.squeeze",
    "res_layer.5.fc2": "branch.5.excite",
    "shortcut_layer.0": "around.0",
    "shortcut_layer.1": "around.1",
}
_BASIC_BRANCH = {
    "conv1": "branch.0",
    "bn1": "branch.1",
    "conv2": "branch.3",
    "bn2": "branch.4",
    "downsample.0": "around.0",
    "downsample.1": "around.1",
}
_LEAF = r"(weight|bias|running_mean|running_var|num_batches_tracked)"


def matches(content: Content) -> bool:
    """Return whether the file holds an encoder of the family, or something else with a generator in it."""
    state = _state(content.root)
    return _backbone(state) is not None or _other(state) is not None


def read(content: Content, options: ReadOptions) -> ForeignEncoder:
    """Read the encoder; see :class:`~ganvert.exchange.encoder_files.base.EncoderFile`."""
    whole = _state(content.root)
    if (other := _other(whole)) is not None:
        raise CheckpointError(f"{OTHERS[other]}; its generator can be used as it is, --generator")
    backbone = _backbone(whole)
    assert backbone is not None
    state = _encoder(whole)
    opts = _opts(content.root)
    channels = state[_STEMS[backbone]].shape[1:2]
    images = {3: 1, 6: 2}.get(channels[0] if channels else 0)
    if images is None:
        what = INPUTS.get(channels[0] if channels else 0, "no photographs")
        raise CheckpointError(
            f"an encoder of inputs with {list(channels)} channels ({what}); wanted 3, or 6 of ReStyle"
        )
    kind = _kind(state, opts, images, options.kind)
    # pSp's pyramid is read by both: ReStyle takes it for domains other than faces.
    if kind != "psp" and kind.startswith("restyle") != (images == 2):
        raise CheckpointError(f"an encoder of {kind} with {channels[0]} input channels; ReStyle has 6, others 3")
    head, neck, head_options = _head(kind, state)
    tensors, unknown = rename(state, lambda name: _ours(name, backbone, head), kind)
    notes = _notes(opts)
    if unknown and images == 1:
        raise CheckpointError(f"not part of an encoder of {kind}: {', '.join(map(brief, unknown[:5]))}")
    if unknown:  # ReStyle's own loading ignores them too
        notes.append(f"left out: {', '.join(unknown[:5])}")
    rows = 1 + max((int(match[1]) for name in state if (match := re.match(r"styles\.(\d{1,3})\.", name))), default=-1)
    if head == "progressive":
        # The stage of the training is not stored; inference has the offsets of all rows.
        tensors["heads.progressive.enabled"] = torch.tensor(rows - 1)
    mean, note = _mean(content.root, opts, always=images == 2 or opts.get("encoder_type") == "WEncoder")
    spec = EncoderSpec(
        space="w" if head == "single" else "wplus",
        backbone=backbone,
        neck=neck,
        heads={head: head_options},
        input_px=256,
        passes=PASSES if images == 2 else 1,
    )
    return ForeignEncoder(
        tool=f"{'restyle_' if images == 2 and kind == 'psp' else ''}{kind}",
        spec=spec,
        tensors=tensors,
        rows=rows or None,
        mean=mean,
        notes=(*notes, *note),
    )


def _state(root: Any) -> Mapping[str, Any]:
    """Return the file's state dict, which may be the file itself."""
    return names_of(root.get("state_dict", root) if isinstance(root, dict) else None)


def _encoder(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoder's part of a state dict, without its prefix if it has one."""
    inner = {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
    return inner or dict(state)


def _backbone(state: Mapping[str, Any]) -> str | None:
    """Return our name of the encoder's backbone; None if it is none of the family's."""
    inner = _encoder(state)
    last = {"ir50": "body.23.res_layer.1.weight", "resnet34": "body.15.conv1.weight"}
    return next((name for name, stem in _STEMS.items() if has_all(inner, stem, last[name])), None)


def _other(state: Mapping[str, Any]) -> str | None:
    return next((name for name in OTHERS if any(key.startswith(f"{name}.") for key in state)), None)


def _opts(root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of the training; an empty dict if the file has none."""
    opts = root.get("opts")
    if isinstance(opts, Instance):  # an argparse.Namespace: its state is its dict
        opts = opts.state
    return opts if isinstance(opts, dict) else {}


def _kind(state: Mapping[str, Any], opts: Mapping[str, Any], images: int, asked: str | None) -> str:
    """Return e4e, psp, restyle_psp, restyle_e4e, w or wplus."""
    name = opts.get("encoder_type")
    if name is not None and (not isinstance(name, str) or name not in TYPES):
        raise CheckpointError(f"an encoder of type {brief(name)}; read are {', '.join(TYPES)}")
    own = TYPES[name] if name is not None else None
    if own is None and not any(key.startswith("styles.") for key in state):
        own = "wplus" if "output_layer_2.3.weight" in state else "w"
    if own is None:
        pyramid = has_all(state, "latlayer1.weight")
        if pyramid and images == 2:
            return "psp"
        fitting = ("e4e", "psp") if pyramid else ("restyle_psp", "restyle_e4e")
        if asked not in fitting:
            raise ParamsError(
                "the file has no `opts`, and the encoders of " + " and ".join(fitting) + " have equal tensors: "
                f"choose --as {' or --as '.join(fitting)}" + (f", not {asked}" if asked else "")
            )
        return asked
    # pSp's encoder with six input channels is ReStyle's over pSp.
    if asked not in (None, own) and not (images == 2 and asked == f"restyle_{own}"):
        raise ParamsError(f"--as {asked}: the file says that its encoder is of {own}; leave the option out")
    return own


def _head(kind: str, state: Mapping[str, Any]) -> tuple[str, Literal["none", "fpn"], dict[str, Any]]:
    """Return the head, the neck and the head's options."""
    if kind == "w":
        return "single", "none", {}
    if kind == "wplus":
        width = _size(state, "output_layer_2.3.weight", 0)
        return "grid", "none", {} if width == 512 else {"code": width}
    width = _size(state, "styles.0.convs.0.weight", 0)
    options: dict[str, Any] = {} if width == 512 else {"width": width}
    if kind == "e4e":
        return "progressive", "fpn", options
    if kind == "psp":
        return "map2style", "fpn", options
    if kind == "restyle_e4e":
        return "progressive", "none", options | {"coarsest": True}
    return "last", "none", options


def _size(state: Mapping[str, Any], name: str, axis: int) -> int:
    if not has_all(state, name) or state[name].ndim <= axis:
        raise CheckpointError(f"{name} is missing, or not a tensor of weights")
    return int(state[name].shape[axis])


def _ours(name: str, backbone: str, head: str) -> str | None:
    """Return our name of an encoder's tensor; None for one that the encoder does not have."""
    if match := re.fullmatch(rf"styles\.(\d{{1,3}})\.(?:convs\.(\d{{1,2}})|(linear))\.{_LEAF}", name):
        part = match[3] or f"layers.{match[2]}"
        return f"heads.{head}.blocks.{match[1]}.{part}.{match[4]}"
    if match := re.fullmatch(r"latlayer([12])\.(weight|bias)", name):
        return f"neck.lateral.{32 * int(match[1])}.{match[2]}"
    if match := re.fullmatch(r"linear\.(weight|bias)", name):
        return f"heads.{head}.linear.{match[1]}"
    if match := re.fullmatch(rf"output_layer_2\.([03])\.{_LEAF}", name):
        return f"heads.{head}.{'norm' if match[1] == '0' else 'hidden'}.{match[2]}"
    return _ours_of_backbone(name, backbone)


def _ours_of_backbone(name: str, backbone: str) -> str | None:
    stems = {"ir50": r"input_layer\.([012])", "resnet34": "(conv1|bn1|relu)"}
    if match := re.fullmatch(rf"{stems[backbone]}\.{_LEAF}", name):
        layer = {"conv1": "0", "bn1": "1", "relu": "2"}.get(match[1], match[1])
        return f"backbone.stem.{layer}.{match[2]}"
    if match := re.fullmatch(rf"body\.(\d{{1,2}})\.(.*)\.{_LEAF}", name):
        architecture = BACKBONES[backbone]
        assert issubclass(architecture, ResNetIR)
        place = fold(match[1], (count for count, _ in architecture.stage_sizes))
        part = (_IR_BRANCH if backbone == "ir50" else _BASIC_BRANCH).get(match[2])
        if place and part:
            return f"backbone.stages.{place[0]}.{place[1]}.{part}.{match[3]}"
    return None


def _mean(root: Mapping[str, Any], opts: Mapping[str, Any], *, always: bool) -> tuple[Tensor | None, list[str]]:
    """Return the w that offsets are added to, None for the generator's, and notes.

    Args:
        root: the file.
        opts: its options.
        always: whether the tool adds its mean whatever `start_from_latent_avg` says.
    """
    if not always and opts.get("start_from_latent_avg") is False:
        return torch.zeros(1), ["the encoder predicts w itself, no offsets (start_from_latent_avg is off)"]
    mean = root.get("latent_avg")
    if mean is None:
        return None, ["assumed: no latent_avg in the file, the generator's mean w was taken"]
    if not isinstance(mean, Tensor) or not mean.is_floating_point() or not mean.numel() or not 1 <= mean.ndim <= 3:
        raise CheckpointError("latent_avg is not a tensor of one or several w")
    rows = mean.reshape(-1, mean.shape[-1]).float()
    if torch.equal(rows, rows[:1].expand_as(rows)):
        return rows[0].clone(), []
    return rows.mean(dim=0), [f"assumed: latent_avg differs between its {len(rows)} rows, their mean was taken"]


def _notes(opts: Mapping[str, Any]) -> list[str]:
    """Return notes on what an encoder was trained for, where that is not the inversion of square photographs."""
    notes = []
    task = opts.get("dataset_type")
    if isinstance(task, str) and "cars" in task:
        notes.append("trained on pictures of 192 x 256 pixels: codes of square ones differ from the tool's")
    elif isinstance(task, str) and any(word in task for word in ("toonify", "frontal", "super", "seg", "sketch")):
        notes.append(f"trained for {brief(task)}, not for inversion")
    if opts.get("resize_factors"):
        notes.append("trained for super-resolution, not for inversion")
    return notes

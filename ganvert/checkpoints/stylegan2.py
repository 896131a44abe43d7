"""Conversion of other codes' names and tensor layouts to our StyleGAN2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import drop_ones, take
from ganvert.compute.random import normal
from ganvert.networks.mapping import MappingNetwork
from ganvert.networks.modulation import blur_kernel

__all__ = ["KERNELS", "Relayout", "add_one_to_styles", "assemble", "check_blurs", "conv_name", "mean_w", "rename"]

#: Converts a tensor of the file, given our name for it, to our layout.
Relayout = Callable[[str, Tensor], Tensor]

#: Endings of the names of kernels [O, I, h, w]; all other weights are matrices.
KERNELS = ("conv0.weight", "conv1.weight", "torgb.weight", "skip.weight")

_SAMPLES = 16384  # of z, to estimate a mean w that a file lacks
_AXES = {"const": 3, "noise_const": 2, "noise_strength": 0, "bias": 1, "w_avg": 1}


def conv_name(index: int) -> str:
    """Return our name of 3x3 convolution 0, 1, ... in execution order: conv1 at 4 px, then two per resolution."""
    return f"synthesis.b{4 * 2 ** ((index + 1) // 2)}.conv{1 - index % 2}"


def add_one_to_styles(ours: str, value: Tensor) -> Tensor:
    """Return a bias of an affine layer plus one, and any other tensor as it is.

    Styles are about one: our bias includes the 1 that the codes of NVlabs (TensorFlow) and genforce add to the output.
    """
    return value + 1 if ours.endswith("affine.bias") else value


def rename(names: Iterable[str], ours: Callable[[str], str | None], format: str) -> dict[str, str]:
    """Return the file's name -> our name.

    Args:
        names: names of the file.
        ours: returns our name of one of them, or None.
        format: name of the format, for error messages.

    Raises:
        CheckpointError: `ours` does not know a name; ignoring the tensor might change the images.
    """
    renamed, unknown = {}, []
    for name in names:
        our_name = ours(name)
        if our_name is None:
            unknown.append(name)
        else:
            renamed[name] = our_name
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise CheckpointError(f"{format}: not part of a StyleGAN2: {', '.join(unknown[:5])}{more}")
    return renamed


def assemble(
    content: Content,
    source: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    format: str,
    relayout: Relayout,
    config: Mapping[str, Any],
    blurs: Iterable[str] = (),
    ignored: tuple[str, ...] = (),
) -> Checkpoint:
    """Build a StyleGAN2 checkpoint from another code's tensors.

    Args:
        content: the file.
        source: its tensors of the generator, by its own names.
        names: its name -> our name.
        format: name of the format.
        relayout: see :data:`Relayout`; axes of size 1 that we lack are dropped afterwards.
        config: see :class:`ganvert.generators.stylegan2.StyleGAN2`.
        blurs: its names of filters, which include the gain of 4 for doubling the resolution.
        ignored: what the reader left out, in words.

    Raises:
        CheckpointError: a tensor has a wrong shape or type, or a filter is not the one that we build in.
    """
    blurs = list(blurs)
    tensors = take(content, {name: source[name] for name in [*names, *blurs]}, format)
    check_blurs({name: tensors[name] for name in blurs}, format, gain=4)
    state = {}
    for theirs, ours in names.items():
        value = relayout(ours, tensors[theirs])
        state[ours] = drop_ones(value, _axes_of(ours, value), f"{format}: {ours}")
    if "w_avg" not in state:
        state["w_avg"] = mean_w(state, config.get("lr_multiplier", 0.01))
        ignored = (*ignored, f"assumed: no mean w in the file, the mean of {_SAMPLES} samples was taken")
    return Checkpoint(
        format=format,
        architecture="stylegan2",
        state={name: value.contiguous() for name, value in state.items()},
        config=dict(config),
        ignored=ignored,
    )


def check_blurs(blurs: Mapping[str, Tensor], format: str, gain: float) -> None:
    """Refuse filters other than the one built into the network; `gain` is the sum of their numbers."""
    wanted = blur_kernel(gain)
    for name, blur in blurs.items():
        if blur.numel() != 16 or not torch.allclose(blur.reshape(4, 4), wanted, atol=1e-6):
            raise CheckpointError(f"{format}: {name} is a filter other than [1, 3, 3, 1]")


def mean_w(state: Mapping[str, Tensor], lr_multiplier: float = 0.01) -> Tensor:
    """Return the mean w [w_dim] of a state dict's mapping network over a fixed set of samples.

    Raises:
        CheckpointError: the state dict has no mapping network that fits, or one of too many classes.
    """
    mapping, z_dim = MappingNetwork.for_state(state, lr_multiplier=lr_multiplier)
    own = {name.removeprefix("mapping."): value for name, value in state.items() if name.startswith("mapping.")}
    try:
        mapping.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"not a StyleGAN mapping network: {error}") from error
    classes = mapping.label_dim
    if classes > _SAMPLES:
        raise CheckpointError(f"it has no mean w, and {classes} classes; it is estimated for up to {_SAMPLES}")
    labels = torch.eye(classes)[torch.arange(_SAMPLES) % classes] if classes else None
    with torch.no_grad():
        return mapping(normal(range(_SAMPLES), (z_dim,)), labels).mean(dim=0)


def _axes_of(name: str, value: Tensor) -> int:
    """Return the number of axes that our tensor of this name has."""
    part = name.rpartition(".")[2]
    if part == "weight":
        return 4 if name.endswith(KERNELS) else 2
    return _AXES.get(part, value.ndim)

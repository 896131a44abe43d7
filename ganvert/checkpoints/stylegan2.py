"""From the names and layouts of other codes to our StyleGAN2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import take
from ganvert.compute.random import normal
from ganvert.networks.mapping import MappingNetwork
from ganvert.networks.modulation import blur_kernel

__all__ = ["Turn", "assemble", "check_blurs", "mean_w", "rename"]

#: Makes our layout of a tensor out of the file's, given our name.
Turn = Callable[[str, Tensor], Tensor]

_SAMPLES = 16384  # of z, for a mean w that a file lacks
_AXES = {"const": 3, "noise_const": 2, "noise_strength": 0, "bias": 1, "w_avg": 1}


def rename(names: Iterable[str], ours: Callable[[str], str | None], format: str) -> dict[str, str]:
    """Its name -> our name; CheckpointError where `ours` does not know one, which may change what the network draws."""
    found, unknown = {}, []
    for name in names:
        known = ours(name)
        if known is None:
            unknown.append(name)
        else:
            found[name] = known
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise CheckpointError(f"{format}: not part of a StyleGAN2: {', '.join(unknown[:5])}{more}")
    return found


def assemble(
    content: Content,
    source: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    format: str,
    turn: Turn,
    config: Mapping[str, Any],
    blurs: Iterable[str] = (),
    ignored: tuple[str, ...] = (),
) -> Checkpoint:
    """A StyleGAN2 checkpoint out of another code's tensors.

    Args:
        content: the file.
        source: its tensors of the generator, by its own names.
        names: its name -> our name.
        format: name of the layout.
        turn: see :data:`Turn`; axes of size 1 that we lack are dropped afterwards.
        config: see :class:`ganvert.generators.stylegan2.StyleGAN2`.
        blurs: its names of filters, which have the gain of doubling the resolution in them.
        ignored: what the reader left out, in words.
    """
    blurs = list(blurs)
    found = take(content, {name: source[name] for name in [*names, *blurs]}, format)
    check_blurs({name: found[name] for name in blurs}, format, gain=4)
    state = {ours: _without_ones(ours, turn(ours, found[theirs]), format) for theirs, ours in names.items()}
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
    """Refuse filters other than the one that is built into the network; `gain` is the sum of their numbers."""
    wanted = blur_kernel() / 4 * gain
    for name, blur in blurs.items():
        if blur.numel() != 16 or not torch.allclose(blur.reshape(4, 4), wanted, atol=1e-6):
            raise CheckpointError(f"{format}: {name} is a filter other than [1, 3, 3, 1]")


def mean_w(state: Mapping[str, Tensor], lr_multiplier: float = 0.01) -> Tensor:
    """Mean w [w_dim] of the mapping network of a state dict, over samples that are the same each time."""
    mapping, z_dim = MappingNetwork.for_state(state, lr_multiplier=lr_multiplier)
    own = {name.removeprefix("mapping."): value for name, value in state.items() if name.startswith("mapping.")}
    try:
        mapping.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"not a StyleGAN mapping network: {error}") from error
    classes = mapping.label_dim
    labels = torch.eye(classes)[torch.arange(_SAMPLES) % classes] if classes else None
    with torch.no_grad():
        return mapping(normal(range(_SAMPLES), (z_dim,)), labels).mean(dim=0)


def _without_ones(name: str, value: Tensor, format: str) -> Tensor:
    """The tensor with as many axes as ours has."""
    part = name.rpartition(".")[2]
    if part == "weight":
        axes = 4 if name.endswith(("conv0.weight", "conv1.weight", "torgb.weight", "skip.weight")) else 2
    else:
        axes = _AXES.get(part, value.ndim)
    kept = value.shape[value.ndim - axes :]
    if axes == 1:  # a picture's bias may have axes of size 1 on both sides
        kept = torch.Size([value.numel()]) if value.numel() == max(value.shape, default=1) else kept
    if value.ndim < axes or math.prod(kept) != value.numel():
        raise CheckpointError(f"{format}: {name} has shape {list(value.shape)}, wanted {axes} axes")
    return value.reshape(kept)

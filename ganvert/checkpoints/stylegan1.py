"""Conversion of other codes' names and tensor layouts to our StyleGAN1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import drop_ones, take

__all__ = ["FUSED_FROM", "Dialect", "Relayout", "assemble", "count_layers", "names_of"]

#: Converts one tensor of the file to our layout; the text names the tensor in error messages.
Relayout = Callable[[Tensor, str], Tensor]

#: Resolution from which the official code upsamples by a transposed convolution by default (``fused_scale='auto'``,
#: NVlabs/stylegan, networks_stylegan.py). It equals nearest upsampling and a correlation with the kernel flipped, so
#: the kernels of these layers are flipped once when they are read.
FUSED_FROM = 128

OPTIONAL = (".noise_weight", ".noise_const")
_AXES = {"const": 3, "noise_const": 2}  # of ours; other codes have leading axes of size 1


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a PyTorch code names the tensors of a StyleGAN1 with layers ``mapping.dense{i}`` and ``synthesis.layer{i}``.

    Attributes:
        dense: weight and bias within a layer of the mapping network.
        parts: our name -> its name of the tensors that every layer of the synthesis network has.
        const: the constant within layer 0.
        weight: the kernel within any other layer.
        fused: the kernel of a layer with fused upsampling, if it is named differently.
        output: the kernel within ``synthesis.output{i}``.
    """

    dense: tuple[str, str]
    parts: Mapping[str, str]
    const: str
    weight: str
    fused: str | None = None
    output: str


def names_of(source: Mapping[str, Any], dialect: Dialect) -> dict[str, str]:
    """Return our name -> the file's name of every tensor that a StyleGAN1 needs."""
    names = {"w_avg": "truncation.w_avg"}
    if "mapping.label_weight" in source:
        names["mapping.label_weight"] = "mapping.label_weight"
    for i in range(count_layers(source, f"mapping.dense{{}}.{dialect.dense[0]}".format)):
        for ours, theirs in zip(("weight", "bias"), dialect.dense):
            names[f"mapping.fc{i}.{ours}"] = f"mapping.dense{i}.{theirs}"
    layers = count_layers(source, f"synthesis.layer{{}}.{dialect.parts['bias']}".format)
    for i in range(layers):
        layer = f"synthesis.layer{i}"
        names |= {f"{layer}.{ours}": f"{layer}.{theirs}" for ours, theirs in dialect.parts.items()}
        if i == 0:
            names[f"{layer}.const"] = f"{layer}.{dialect.const}"
        else:
            fused = dialect.fused is not None and f"{layer}.{dialect.fused}" in source
            names[f"{layer}.weight"] = f"{layer}.{dialect.fused if fused else dialect.weight}"
    output = f"synthesis.output{layers // 2 - 1}"
    return {**names, "synthesis.output.weight": f"{output}.{dialect.output}", "synthesis.output.bias": f"{output}.bias"}


def count_layers(names: Mapping[str, Any], layer: Callable[[int], str]) -> int:
    """Count how many of ``layer(0)``, ``layer(1)``, ... are among the names, up to the first gap."""
    count = 0
    while layer(count) in names:
        count += 1
    return count


def _listing(names: Iterable[str]) -> str:
    """List the first five names, and how many more there are."""
    names = list(names)
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def assemble(
    content: Content,
    source: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    format: str,
    relayouts: Mapping[str, Relayout] | None = None,
    lod: str,
    config: Mapping[str, Any] | None = None,
    ignored: tuple[str, ...] = (),
) -> Checkpoint:
    """Build a StyleGAN1 checkpoint from another code's tensors.

    Args:
        content: the file.
        source: its tensors of the generator, by its own names.
        names: our name -> its name. Noise may be missing, nothing else.
        format: name of the format.
        relayouts: our name -> the function that converts the tensor to our layout; others stay as they are.
        lod: its name of the level of detail at which progressive growing has arrived; 0 at the end.
        config: see :class:`ganvert.generators.stylegan1.StyleGAN1`.
        ignored: what the reader left out, in words.

    Raises:
        CheckpointError: a tensor is missing or has a wrong shape, or the network is not one that we can build.
    """
    present = {ours: theirs for ours, theirs in names.items() if theirs in source or not ours.endswith(OPTIONAL)}
    missing = [theirs for theirs in present.values() if theirs not in source]
    if missing:
        raise CheckpointError(f"{format}: the file lacks {_listing(missing)}")
    blurs = [name for name in source if name.endswith(".blur.kernel")]
    extra = [*blurs, *([lod] if lod in source else [])]
    tensors = take(content, {name: source[name] for name in {*present.values(), *extra}}, format)
    if lod in tensors and tensors[lod].ne(0).any():
        raise CheckpointError(f"{format}: progressive growing has stopped at level {tensors[lod].tolist()}, wanted 0")
    for name in blurs:
        _check_blur(tensors[name], f"{format}: {name}")
    state = {}
    for ours, theirs in present.items():
        value, where, part = tensors[theirs], f"{format}: {theirs}", ours.rpartition(".")[2]
        if relayouts and ours in relayouts:
            value = relayouts[ours](value, where)
        state[ours] = drop_ones(value, _AXES[part], where) if part in _AXES else value
    state |= _mean_w(state, format)
    return Checkpoint(
        format=format,
        architecture="stylegan1",
        state={name: value.contiguous() for name, value in state.items()},
        config=dict(config or {}),
        ignored=(*ignored, *_left_out(source, {*present.values(), *extra})),
    )


def _left_out(source: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    """Describe the unused tensors of the generator in words."""
    rest = [name for name in source if name not in used]
    # Left over from progressive growing: each resolution has an output of its own.
    smaller = [name for name in rest if "output" in name or "ToRGB" in name]
    notes = [f"{_listing(smaller)}: only the output of the largest resolution is used"] if smaller else []
    unknown = [name for name in rest if name not in smaller]
    return (*notes, *([f"{_listing(unknown)}: not part of a StyleGAN1"] if unknown else []))


def _check_blur(kernel: Tensor, where: str) -> None:
    """Refuse a blur other than the one built into the network, [1, 2, 1] along both axes."""
    line = torch.tensor([0.25, 0.5, 0.25])
    if kernel.shape[-2:] != (3, 3) or not torch.allclose(kernel, torch.outer(line, line), atol=1e-6):
        raise CheckpointError(f"{where}: a blur other than [1, 2, 1]")


def _mean_w(state: Mapping[str, Tensor], format: str) -> dict[str, Tensor]:
    """Return ``w_avg`` [w_dim], and ``w_avg_rows`` [rows, w_dim] if the file has a mean for every layer."""
    mean, style = state["w_avg"], state["synthesis.layer0.style.weight"]
    if style.ndim != 2 or mean.ndim != 1 or not style.shape[1] or len(mean) % style.shape[1]:
        raise CheckpointError(f"{format}: the mean w has shape {list(mean.shape)}, layer 0 reads {list(style.shape)}")
    rows = mean.reshape(-1, style.shape[1])
    if len(rows) == 1:
        return {"w_avg": mean}
    return {"w_avg": rows.mean(dim=0), "w_avg_rows": rows}

"""From the names and layouts of other codes to our StyleGAN1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import take

__all__ = [
    "FUSED_FROM",
    "Dialect",
    "Turn",
    "assemble",
    "count_layers",
    "from_hwio",
    "names_of",
    "over",
    "transposed",
]

#: Makes our layout of one tensor out of the file's.
Turn = Callable[[Tensor], Tensor]

#: Resolution from which the official code doubles by a transposed convolution unless told otherwise
#: (``fused_scale='auto'``, NVlabs/stylegan, networks_stylegan.py). Its kernels are ours turned over.
FUSED_FROM = 128

OPTIONAL = (".noise_weight", ".noise_const")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a PyTorch code spells a StyleGAN1 whose layers are ``mapping.dense{i}``, ``synthesis.layer{i}``.

    Attributes:
        dense: weight and bias within a layer of the mapping network.
        parts: our name -> its name of what every layer of the synthesis network has.
        const: the constant within layer 0.
        weight: the kernel within another layer.
        fused: the same where the layer is a fused doubling, if that has its own name.
        output: the kernel within ``synthesis.output{i}``.
    """

    dense: tuple[str, str]
    parts: Mapping[str, str]
    const: str
    weight: str
    fused: str | None = None
    output: str


def names_of(source: Mapping[str, Any], dialect: Dialect) -> dict[str, str]:
    """Our name -> its name of everything a StyleGAN1 needs."""
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


def over(kernel: Tensor) -> Tensor:
    """A kernel [O, I, 3, 3] turned over along both spatial axes."""
    return _ranked(kernel, 4).flip(2, 3)


def from_hwio(kernel: Tensor) -> Tensor:
    """A TensorFlow kernel [h, w, I, O] as [O, I, h, w]."""
    return _ranked(kernel, 4).permute(3, 2, 0, 1)


def transposed(weight: Tensor) -> Tensor:
    """A TensorFlow dense weight [in, out] as [out, in]."""
    return _ranked(weight, 2).T


def _ranked(value: Tensor, axes: int) -> Tensor:
    if value.ndim != axes:
        raise CheckpointError(f"StyleGAN1: a weight of shape {list(value.shape)} where one of {axes} axes belongs")
    return value


def count_layers(names: Mapping[str, Any], layer: Callable[[int], str]) -> int:
    """How many of ``layer(0)``, ``layer(1)``, ... are among the names, without a gap."""
    count = 0
    while layer(count) in names:
        count += 1
    return count


def _listing(names: Iterable[str]) -> str:
    """The first of many names, and how many more there are."""
    names = list(names)
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def assemble(
    content: Content,
    source: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    format: str,
    turns: Mapping[str, Turn] | None = None,
    lod: str,
    config: Mapping[str, Any] | None = None,
    ignored: tuple[str, ...] = (),
) -> Checkpoint:
    """A StyleGAN1 checkpoint out of another code's tensors.

    Args:
        content: the file.
        source: its tensors of the generator, by its own names.
        names: our name -> its name. Noise may be missing, nothing else.
        format: name of the layout.
        turns: our name -> what makes our layout of the tensor.
        lod: its name of the level of detail, at which progressive growing stands; 0 when it is done.
        config: see :class:`ganvert.generators.stylegan1.StyleGAN1`.
        ignored: what the reader left out, in words.
    """
    present = {ours: theirs for ours, theirs in names.items() if theirs in source or not ours.endswith(OPTIONAL)}
    missing = [theirs for theirs in present.values() if theirs not in source]
    if missing:
        raise CheckpointError(f"{format}: the file lacks {_listing(missing)}")
    blurs = [name for name in source if name.endswith(".blur.kernel")]
    extra = [*blurs, *([lod] if lod in source else [])]
    found = take(content, {name: source[name] for name in {*present.values(), *extra}}, format)
    if lod in found and found[lod].ne(0).any():
        raise CheckpointError(f"{format}: progressive growing stands at level {found[lod].tolist()}, not at its end, 0")
    for name in blurs:
        _check_blur(found[name], f"{format}: {name}")
    state = {ours: (turns or {}).get(ours, _same)(found[theirs]) for ours, theirs in present.items()}
    for ours, value in state.items():
        if ours.endswith((".noise_const", ".const")):
            state[ours] = _without_ones(value, 2 if ours.endswith("noise_const") else 3, f"{format}: {present[ours]}")
    state |= _mean_w(state, format)
    return Checkpoint(
        format=format,
        architecture="stylegan1",
        state={name: value.contiguous() for name, value in state.items()},
        config=dict(config or {}),
        ignored=(*ignored, *_left_out(source, {*present.values(), *extra})),
    )


def _left_out(source: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    """What of the generator was not used, in words."""
    rest = [name for name in source if name not in used]
    smaller = [name for name in rest if "output" in name or "ToRGB" in name]
    notes = [f"{_listing(smaller)}: only the output of the largest resolution draws"] if smaller else []
    unknown = [name for name in rest if name not in smaller]
    return (*notes, *([f"{_listing(unknown)}: not part of a StyleGAN1"] if unknown else []))


def _same(value: Tensor) -> Tensor:
    return value


def _without_ones(value: Tensor, axes: int, where: str) -> Tensor:
    """Without the leading axes of size 1 that are beyond `axes`."""
    beyond = value.ndim - axes
    if beyond < 0 or any(size != 1 for size in value.shape[:beyond]):
        raise CheckpointError(f"{where}: shape {list(value.shape)} does not fit")
    return value.reshape(value.shape[beyond:])


def _check_blur(kernel: Tensor, where: str) -> None:
    """Only one blur is built into the network: [1, 2, 1] along both axes."""
    line = torch.tensor([0.25, 0.5, 0.25])
    if kernel.shape[-2:] != (3, 3) or not torch.allclose(kernel, torch.outer(line, line), atol=1e-6):
        raise CheckpointError(f"{where}: a blur other than [1, 2, 1]")


def _mean_w(state: Mapping[str, Tensor], format: str) -> dict[str, Tensor]:
    """``w_avg`` [w_dim], and ``w_avg_rows`` [rows, w_dim] where every layer has a mean of its own."""
    mean, style = state["w_avg"], state["synthesis.layer0.style.weight"]
    if style.ndim != 2 or mean.ndim != 1 or not style.shape[1] or len(mean) % style.shape[1]:
        raise CheckpointError(f"{format}: the mean w has shape {list(mean.shape)}, layer 0 reads {list(style.shape)}")
    rows = mean.reshape(-1, style.shape[1])
    if len(rows) == 1:
        return {"w_avg": mean}
    return {"w_avg": rows.mean(dim=0), "w_avg_rows": rows}

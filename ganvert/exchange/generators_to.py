"""Our generators as files that other tools load: one entry of :data:`GENERATOR_EXPORTS` per kind.

A kind takes what it can hold exactly. What is written is loaded again and has to draw the same picture.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ganvert.base.errors import InputError, UnsupportedError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.checkpoints.ganvert_file import write_tensors
from ganvert.checkpoints.nvlabs_state import ARGUMENTS, BLUR, MEAN
from ganvert.checkpoints.rosinality import PARTS
from ganvert.compute.random import normal
from ganvert.exchange.files import save_tensors
from ganvert.generators import Generator, load_generator
from ganvert.generators.base import labels_for
from ganvert.generators.stylegan2 import StyleGAN2
from ganvert.networks.modulation import blur_kernel

__all__ = ["GENERATOR_EXPORTS", "GeneratorExport", "check_export", "export_generator"]

#: Largest difference of a picture, of about [-1, 1], that rounding makes.
TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class GeneratorExport:
    """One kind of file.

    Attributes:
        description: what it is, for users.
        obstacles: what a StyleGAN2 has that the kind has no place for, in words; empty if it fits.
        notes: what users of the file have to know.
        write: ``(generator, path)``: writes it.
    """

    description: str
    obstacles: Callable[[StyleGAN2], list[str]]
    notes: Callable[[StyleGAN2], list[str]]
    write: Callable[[StyleGAN2, Path], None]


def check_export(kind: str, out: Path, *, force: bool = False) -> GeneratorExport:
    """Return a kind of export, before anything is loaded.

    Raises:
        UnknownNameError: there is no such kind.
        InputError: the file exists and is not to be replaced.
    """
    export = lookup(GENERATOR_EXPORTS, kind, "kind of export")
    if out.exists() and not force:
        raise InputError(f"{out} exists already; --force replaces it")
    return export


def export_generator(generator: Generator, kind: str, out: Path, *, force: bool = False) -> tuple[float, list[str]]:
    """Write a generator for another tool, whole or not at all.

    Args:
        generator: on the CPU; a tuned copy is written with its changes.
        kind: a name of :data:`GENERATOR_EXPORTS`.
        out: the file.
        force: replace an existing file.

    Returns:
        The largest difference between a picture of the file, loaded again, and the generator's own; and notes.

    Raises:
        UnknownNameError: there is no such kind.
        InputError: the file exists.
        UnsupportedError: the kind cannot hold the generator exactly; the message says what it has no place for.
    """
    export = check_export(kind, out, force=force)
    if not isinstance(generator, StyleGAN2):
        raise UnsupportedError(f"{kind} holds a StyleGAN2, not a {generator.architecture}")
    if obstacles := export.obstacles(generator):
        raise UnsupportedError(f"{kind} cannot hold this generator: {'; '.join(obstacles)}")
    with atomic_path(out) as temporary:
        export.write(generator, temporary)
        difference = _difference(generator, load_generator(temporary))
        if not difference <= TOLERANCE:
            raise UnsupportedError(
                f"{kind} cannot hold this generator exactly: loaded again, it draws a picture that differs by "
                f"{difference:.2g}, more than rounding ({TOLERANCE:g})"
            )
    return difference, export.notes(generator)


@torch.no_grad()
def _difference(generator: Generator, again: Generator) -> float:
    """Return the largest difference of w, the mean w and a picture, relative to a picture's scale of 1 or more."""
    z = normal(range(generator.num_ws), (generator.z_dim,))
    labels = labels_for(z, None, generator.label_dim, 0, generator.architecture)
    drawn = []
    for model in (generator, again):
        w = model.map_to_w(z, labels)
        # Rows that differ, so that a row in the wrong place shows.
        drawn.append((model.w_avg, w, model.synthesize(ws=w[None])))
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1)) for a, b in zip(*drawn, strict=True))


def _plain_obstacles(generator: StyleGAN2) -> list[str]:
    """Return what neither kind holds."""
    state = generator.state_dict()
    found = []
    if "mapping.label_weight" in state:
        found.append("labels that are joined to z by a matrix (TensorFlow's and genforce's)")
    if any(name.endswith("noise_strength") and name[:-8] + "const" not in state for name in state):
        found.append("noise without stored maps")
    return found


def _widths(generator: StyleGAN2) -> dict[int, int]:
    """Return the channels of every resolution."""
    state = generator.state_dict()
    return {2**i: len(state[f"synthesis.b{2**i}.conv1.bias"]) for i in range(2, generator.resolution.bit_length())}


def _has_all_torgb(generator: StyleGAN2) -> bool:
    return all(f"synthesis.b{size}.torgb.weight" in generator.state_dict() for size in _widths(generator))


# --- rosinality ------------------------------------------------------------------------------------------------------


def _rosinality_obstacles(generator: StyleGAN2) -> list[str]:
    state, found = generator.state_dict(), _plain_obstacles(generator)
    if not _has_all_torgb(generator):
        found.append("an architecture other than skip: its residual or plain blocks have one toRGB")
    if generator.label_dim:
        found.append(f"{generator.label_dim} classes")
    if generator.config.get("conv_clamp") is not None:
        found.append(f"activations clamped at {generator.config['conv_clamp']:g}")
    if generator.config.get("lr_multiplier", 0.01) != 0.01:
        found.append("a learning rate multiplier of the mapping network other than 0.01")
    widths = {generator.z_dim, *(len(value) for name, value in state.items() if re.match(r"mapping\.fc.*bias", name))}
    if len(widths) != 1:
        found.append(f"a mapping network of widths {sorted(widths)}; it has one for z, w and all layers")
    if generator.image_channels != 3:
        found.append(f"pictures of {generator.image_channels} channels")
    if len(generator.noise_shapes) != generator.num_ws - 1:
        found.append("layers without noise")
    return found


def _rosinality_notes(generator: StyleGAN2) -> list[str]:
    for multiplier in (1, 2):
        fixed = {size: 512 if size <= 32 else 16384 * multiplier // size for size in _widths(generator)}
        if fixed == _widths(generator):
            return [f"channel_multiplier {multiplier}"]
    return [f"its Generator has fixed channels: set `channels` in it to {_widths(generator)}"]


def _rosinality_name(ours: str) -> str:
    """Return its name of a tensor."""
    if match := re.fullmatch(r"mapping\.fc(\d+)\.(\w+)", ours):
        return f"style.{int(match[1]) + 1}.{match[2]}"
    if ours == "synthesis.b4.const":
        return "input.input"
    _, block, layer, part = ours.split(".", maxsplit=3)
    level = int(block[1:]).bit_length() - 3  # 0 at 4 px
    theirs = {value: name for name, value in PARTS.items() if (name == "bias") == (value == "bias")}
    if layer == "torgb":
        return f"{f'to_rgbs.{level - 1}' if level else 'to_rgb1'}.{theirs[part]}"
    index = 2 * level - 1 + int(layer[-1]) if level else 0
    if part == "noise_const":
        return f"noises.noise_{index}"
    return f"{f'convs.{index - 1}' if index else 'conv1'}.{'activate.bias' if part == 'bias' else theirs[part]}"


def _rosinality_shape(ours: str, value: Tensor) -> Tensor:
    """Return a tensor with the axes of size 1 that its code has."""
    if ours.startswith("mapping.") or ".affine." in ours or value.ndim == 1:
        return value[None, :, None, None] if ours.endswith("torgb.bias") else value
    return value[None, None] if ours.endswith("noise_const") else value[None]


def _write_rosinality(generator: StyleGAN2, path: Path) -> None:
    """Write `g_ema` and `latent_avg` as torch.save writes plain tensors."""
    state = generator.state_dict()
    mean = state.pop("w_avg")
    tensors = {_rosinality_name(name): _rosinality_shape(name, value).clone() for name, value in state.items()}
    levels = range(generator.resolution.bit_length() - 3)
    tensors |= {f"convs.{2 * i}.conv.blur.kernel": blur_kernel() for i in levels}
    tensors |= {f"to_rgbs.{i}.upsample.kernel": blur_kernel() for i in levels}
    save_tensors({"g_ema": tensors, "latent_avg": mean.clone()}, path)


# --- NVlabs ----------------------------------------------------------------------------------------------------------


def _nvlabs_obstacles(generator: StyleGAN2) -> list[str]:
    found = _plain_obstacles(generator)
    if len(generator.noise_shapes) not in (0, generator.num_ws - 1):
        found.append("noise in some of its layers")
    if not _channels_of(_widths(generator)):
        found.append(f"channels {_widths(generator)}, which are not min(channel_base / size, channel_max)")
    return found


def _channels_of(widths: Mapping[int, int]) -> tuple[int, int] | None:
    """Return NVlabs' channel_base and channel_max of the channels of every resolution; None if there are none."""
    most = max(widths.values())
    narrow = [size * width for size, width in widths.items() if width < most]
    base = narrow[0] if narrow else max(widths) * most
    fits = all(min(base // size, most) == width for size, width in widths.items())
    return (base, most) if fits else None


def _nvlabs_arguments(generator: StyleGAN2) -> dict[str, Any]:
    """Return the arguments of stylegan2-ada-pytorch's Generator."""
    state, config = generator.state_dict(), generator.config
    base, most = cast("tuple[int, int]", _channels_of(_widths(generator)))
    last = f"synthesis.b{generator.resolution}"
    architecture = "skip" if _has_all_torgb(generator) else "resnet" if f"{last}.skip.weight" in state else "orig"
    layers = [len(state[f"mapping.fc{i}.bias"]) for i in range(generator.mapping.count)]
    mapping: dict[str, Any] = {"num_layers": len(layers), "lr_multiplier": config.get("lr_multiplier", 0.01)}
    if layers[:-1] and layers[0] != generator.w_dim:
        mapping["layer_features"] = layers[0]
    if generator.label_dim:
        mapping["embed_features"] = len(state["mapping.embed.bias"])
    return {
        "z_dim": generator.z_dim,
        "c_dim": generator.label_dim,
        "w_dim": generator.w_dim,
        "img_resolution": generator.resolution,
        "img_channels": generator.image_channels,
        "mapping_kwargs": mapping,
        "synthesis_kwargs": {
            "channel_base": base,
            "channel_max": most,
            "architecture": architecture,
            "conv_clamp": config.get("conv_clamp"),
            "num_fp16_res": 0,
            "use_noise": bool(generator.noise_shapes),
        },
    }


def _write_nvlabs(generator: StyleGAN2, path: Path) -> None:
    """Write NVlabs' state dict; the constructor's arguments go into the metadata."""
    state = generator.state_dict()
    state[MEAN] = state.pop("w_avg")
    for size in _widths(generator):
        block = f"synthesis.b{size}"
        layers = [f"{block}.", f"{block}.conv1.", *([f"{block}.conv0."] if size > 4 else [])]
        layers += [f"{block}.skip."] if f"{block}.skip.weight" in state else []
        state |= {f"{layer}{BLUR}": blur_kernel(1) for layer in layers}
    write_tensors(path, state, {ARGUMENTS: json.dumps(_nvlabs_arguments(generator), sort_keys=True)})


def _nvlabs_notes(generator: StyleGAN2) -> list[str]:
    del generator
    return [f"the constructor's arguments are in the metadata, {ARGUMENTS}"]


GENERATOR_EXPORTS: dict[str, GeneratorExport] = {
    "rosinality": GeneratorExport(
        "g_ema and latent_avg by the names of rosinality's StyleGAN2, as pSp, e4e and StyleCLIP load it (.pt)",
        _rosinality_obstacles,
        _rosinality_notes,
        _write_rosinality,
    ),
    "nvlabs-safetensors": GeneratorExport(
        "the state dict of stylegan2-ada-pytorch's Generator (.safetensors)",
        _nvlabs_obstacles,
        _nvlabs_notes,
        _write_nvlabs,
    ),
}

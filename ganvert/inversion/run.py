"""Inverting a list of crops: batches, progress, and a work store so that nothing computed is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganvert.assets.shipped import shipped
from ganvert.base.errors import UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.precision import Speed
from ganvert.compute.progress import progress_bar
from ganvert.discriminators import load_discriminator
from ganvert.encoders import load_encoder
from ganvert.encoders.joint import JointEncoder
from ganvert.generators import Generator
from ganvert.images import as_drawn, from_pil
from ganvert.inversion.inputs import input_files
from ganvert.inversion.presets import Batch, Context, Inversion, Preset

__all__ = ["Crop", "invert_crops", "make_context", "shipped_encoders", "targets_of"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crop:
    """An aligned picture and its id."""

    image_id: str
    image: Image.Image


def shipped_encoders(preset: Preset) -> list[Path]:
    """The weights that come with ganvert for what a method starts from: rows, and where they exist f0 or padding.

    Raises:
        UnsupportedError: no shipped encoder predicts codes of its space.
    """
    if not preset.needs_encoder:
        return []
    prefix = preset.space.partition("/")[0] if "/" in preset.space else ""
    if prefix.startswith("fs"):
        raise UnsupportedError(
            f"method {preset.name!r}: no encoder for space {preset.space!r} comes with ganvert; "
            "train one (docs/encoders.md) and give its weights"
        )
    names = {"pad": ["padinv"], "f16": ["wplus", "basecode"]}.get(prefix, ["wplus"])
    return [shipped(f"{name}_ffhq.safetensors") for name in names]


def make_context(
    preset: Preset,
    generator: Generator,
    encoders: Path | Sequence[Path] | None,
    folder: Path | None,
    inputs: Path | None = None,
    batch: int | None = 1,
    speed: Speed | None = None,
) -> Context:
    """The generator with whatever else a preset needs.

    Args:
        preset: the method.
        generator: on its device.
        encoders: weights of the encoder, for methods that start from one; of several, the later ones are believed
            where two say the same part of a code.
        folder: the asset folder; None for the default one.
        inputs: folder of the masks and pictures that the preset names.
        batch: images side by side at most; None is as many as fit, where that helps.
        speed: precision and compilation of optimisations.

    Raises:
        AssetError, CheckpointError: something is missing or does not belong to this generator.
        UnsupportedError: the generator lacks what the preset uses.
    """
    preset.check(generator)
    paths = [encoders] if isinstance(encoders, Path) else list(encoders or ())
    encoder = None
    if preset.needs_encoder and paths:
        encoder = JointEncoder([load_encoder(path, generator, folder) for path in paths])
    judge = None
    if preset.needs_discriminator and generator.source:
        judge = load_discriminator(generator.source, generator.label)
    return Context(
        generator=generator,
        folder=folder,
        encoder=encoder,
        inputs=inputs,
        discriminator=judge and judge.to(generator.w_avg.device),
        side_by_side=batch,
        speed=speed or Speed(),
    )


def targets_of(crops: Sequence[Crop], generator: Generator) -> Tensor:
    """Crops as the generator could draw them (:func:`as_drawn`), [-1, 1], on its device."""
    size, channels = generator.resolution, generator.image_channels
    images = torch.cat([as_drawn(from_pil([crop.image]), channels, size) for crop in crops])
    return images.to(generator.w_avg.device)


def seeds_for(crops: Sequence[Crop], method: str, seed: int) -> list[int]:
    """One seed per image, made of the run's seed, the method and the image's id."""
    return [item_seed("invert", seed, method, crop.image_id) for crop in crops]


def invert_crops(
    crops: Sequence[Crop],
    preset: Preset,
    context: Context,
    *,
    seed: int,
    on_images: Callable[[float], None] | None = None,
) -> Inversion:
    """Invert every crop.

    Args:
        crops: in the order of the result.
        preset: the method.
        context: see :func:`make_context`.
        seed: of the run; every image has its own, made of it.
        on_images: told how many images are done, in parts of one; None shows a progress bar.

    Returns:
        One inversion with a row per crop.

    Raises:
        InputError: a mask or picture that the preset names is missing or does not fit.
    """
    _check_inputs(preset, context, crops)  # a missing one stops the run before any work
    told = Batch(
        targets=targets_of(crops, context.generator),
        seeds=seeds_for(crops, preset.name, seed),
        image_ids=[crop.image_id for crop in crops],
    )
    if on_images is not None:
        return _run(preset, context, told, on_images)
    with progress_bar(len(crops) * preset.steps, f"{preset.name} ({len(crops)} images)") as bar:

        def show(images: float) -> None:
            bar.update(round(images * preset.steps) - bar.n)

        return _run(preset, context, told, show)


def _run(preset: Preset, context: Context, told: Batch, on_images: Callable[[float], None]) -> Inversion:
    def on_step(step: float, steps: float, _: Tensor) -> None:
        on_images(len(told) * step / steps)

    return preset.inverter.run(told, context, preset.options, on_step)


def _check_inputs(preset: Preset, context: Context, crops: Sequence[Crop]) -> None:
    """InputError unless the masks and pictures that the preset names are there for all crops."""
    ids = [crop.image_id for crop in crops]
    for name in preset.inputs:
        input_files(context.inputs, name, ids)

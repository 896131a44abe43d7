"""From crops to an inversion: the models that a preset needs, targets and seeds, progress."""

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
from ganvert.compute.precision import AUTO, Speed
from ganvert.compute.progress import progress_bar
from ganvert.discriminators import Discriminator, load_discriminator
from ganvert.encoders import load_encoder
from ganvert.encoders.joint import JointEncoder
from ganvert.generators import Generator
from ganvert.images import area_resize, as_drawn, from_pil
from ganvert.inversion.inputs import check_inputs, input_files, is_region, masks_of
from ganvert.inversion.presets import Batch, Context, Inversion, Preset
from ganvert.spaces import make_space

__all__ = ["Crop", "check_crops", "invert_crops", "make_context", "seeds_for", "shipped_encoders", "targets_of"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crop:
    """An aligned picture to invert.

    Attributes:
        image_id: its id.
        image: RGB, of any square size.
        mask: [1, 1, h, h] in [0, 1], how much each pixel counts; None where all do.
    """

    image_id: str
    image: Image.Image
    mask: Tensor | None = None


def shipped_encoders(preset: Preset) -> list[Path]:
    """Return the shipped encoders that a method starts from: of rows of ws, and of a feature map or padding if it can.

    Raises:
        UnsupportedError: no shipped encoder predicts codes of its space.
    """
    if not preset.needs_encoder:
        return []
    prefix = preset.space.partition("/")[0] if "/" in preset.space else ""  # "f16" of f16/wplus, "" of wplus
    if prefix.startswith(("c", "fs")) and prefix != "fs16" and preset.raw["inverter"] == "feed_forward":
        raise UnsupportedError(
            f"method {preset.name!r}: no encoder for space {preset.space!r} comes with ganvert; "
            "train one (docs/encoders.md) and give its weights"
        )
    # Padding was trained together with its rows. Feature maps of other sizes than 16 px start from what the generator
    # draws for the rows.
    return [shipped(f"{'padinv' if prefix == 'pad' else 'wplus'}_ffhq.safetensors")]


def make_context(
    preset: Preset,
    generator: Generator,
    encoders: Path | Sequence[Path] | None,
    folder: Path | None,
    inputs: Path | None = None,
    batch: int | None = 1,
    speed: Speed = AUTO,
) -> Context:
    """Return the generator together with everything else that a preset needs.

    Args:
        preset: the method.
        generator: on its device.
        encoders: weights of the encoders that the method starts from. Later encoders override earlier ones.
        folder: the asset folder; None for the default one.
        inputs: folder of the masks and pictures that the preset names.
        batch: images side by side at most; None is as many as fit, if batching helps.
        speed: precision and compilation of optimisations.

    Raises:
        AssetError, CheckpointError: something is missing or does not belong to this generator.
        InputError: a mask or picture that the preset names is missing.
        UnsupportedError: the generator lacks what the preset uses.
    """
    preset.check(generator)
    check_inputs(preset.inputs, inputs)
    return Context(
        generator=generator,
        folder=folder,
        encoder=_load_encoders(preset, generator, encoders, folder),
        inputs=inputs,
        discriminator=_load_judge(preset, generator),
        side_by_side=batch,
        speed=speed,
    )


def _load_encoders(
    preset: Preset, generator: Generator, encoders: Path | Sequence[Path] | None, folder: Path | None
) -> JointEncoder | None:
    """Return the encoders of a preset as one; None if it needs none, or none is given."""
    paths = [encoders] if isinstance(encoders, Path) else list(encoders or ())
    if not preset.needs_encoder or not paths:
        return None
    encoder = JointEncoder([load_encoder(path, generator, folder) for path in paths])
    for space in (make_space(stage.space, generator) for stage in preset.stages if stage.needs_encoder):
        if not encoder.parts & set(space.takes):
            raise UnsupportedError(
                f"method {preset.name!r}: {', '.join(map(str, paths))} predicts {', '.join(sorted(encoder.parts))}; "
                f"space {space.name!r} needs {' or '.join(space.takes)}"
            )
    return encoder


def _load_judge(preset: Preset, generator: Generator) -> Discriminator | None:
    """Return the discriminator of the generator's checkpoint if the preset plays against one and the file has one."""
    if not preset.needs_discriminator or not generator.source:
        return None
    judge = load_discriminator(generator.source, generator.label)
    return judge and judge.to(generator.w_avg.device)


def targets_of(crops: Sequence[Crop], generator: Generator) -> Tensor:
    """Return crops as the generator could draw them (:func:`as_drawn`): [N, 3, h, h] in [-1, 1], on its device."""
    # One crop after the other: photographs of a run may have different sizes.
    size, channels = generator.resolution, generator.image_channels
    images = torch.cat([as_drawn(from_pil([crop.image]), channels, size) for crop in crops])
    return images.to(generator.w_avg.device)


def _masks_of(crops: Sequence[Crop], generator: Generator) -> Tensor | None:
    """Return how much each pixel counts, [N, 1, h, h] at the generator's resolution; None where all do."""
    if all(crop.mask is None for crop in crops):
        return None
    size = generator.resolution
    whole = torch.ones(1, 1, size, size)
    # An enlargement overshoots at edges.
    masks = [whole if crop.mask is None else area_resize(crop.mask, size).clamp(0, 1) for crop in crops]
    return torch.cat(masks).to(generator.w_avg)


def seeds_for(crops: Sequence[Crop], method: str, seed: int) -> list[int]:
    """Return one seed per image, made of the run's seed, the method and the image's id.

    An image therefore starts from the same code, whatever is inverted beside it.
    """
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
        seed: of the run; see :func:`seeds_for`.
        on_images: receives how many images are done, a fraction for those in work; None shows a progress bar.

    Returns:
        One inversion with a row per crop.

    Raises:
        InputError: a mask or picture that the preset names is missing or does not fit.
        NoRegionError: a crop does not show a region that the preset names.
    """
    check_crops(preset, context, crops)
    batch = Batch(
        targets=targets_of(crops, context.generator),
        seeds=seeds_for(crops, preset.name, seed),
        image_ids=[crop.image_id for crop in crops],
        masks=_masks_of(crops, context.generator),
    )
    if on_images is not None:
        return _run(preset, context, batch, on_images)
    with progress_bar(len(crops) * preset.steps, f"{preset.name} ({len(crops)} images)") as bar:
        return _run(preset, context, batch, lambda images: bar.update(round(images * preset.steps) - bar.n))


def _run(preset: Preset, context: Context, batch: Batch, on_images: Callable[[float], object]) -> Inversion:
    """Run the inverter, and turn its steps, which all images share, into images."""

    def on_step(step: float, steps: float, _: Tensor) -> None:
        on_images(len(batch) * step / steps)

    return preset.inverter.run(batch, context, preset.options, on_step)


def check_crops(preset: Preset, context: Context, crops: Sequence[Crop]) -> None:
    """Raise InputError or NoRegionError if a mask or picture that the preset names is missing for a crop."""
    ids = [crop.image_id for crop in crops]
    for name in preset.inputs:
        if not is_region(name):
            input_files(context.inputs, name, ids)
            continue
        for crop in crops:  # crops may have different sizes
            masks_of(name, [crop.image], [crop.image_id], None, context.folder)

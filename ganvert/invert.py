"""Inverting a list of crops: batches, progress, and a work store so that nothing computed is lost."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from ganvert.discriminators import load_discriminator
from ganvert.encoders import load_encoder
from ganvert.encoders.together import Encoders
from ganvert.errors import UnsupportedError
from ganvert.files import atomic_path, code_version, sha256_of
from ganvert.generators import Generator, read_weights
from ganvert.images import as_drawn, from_pil
from ganvert.inverters import Batch, Context, Inversion, Preset, fingerprint_of, join
from ganvert.inverters.inputs import input_files
from ganvert.runtime import progress_bar
from ganvert.seeds import item_seed
from ganvert.tuning import first_of_each

__all__ = ["Crop", "invert_crops", "make_context", "shipped", "shipped_encoders", "targets_of"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crop:
    """An aligned picture and its id."""

    image_id: str
    image: Image.Image


def shipped(name: str) -> Path:
    """A weights file that comes with ganvert."""
    return Path(__file__).parent / "weights" / name


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
) -> Context:
    """The generator with whatever else a preset needs.

    Args:
        preset: the method.
        generator: on its device.
        encoders: weights of the encoder, for methods that start from one; of several, the later ones are believed
            where two say the same part of a code.
        folder: the asset folder; None for the default one.
        inputs: folder of the masks and pictures that the preset names.

    Raises:
        AssetError, CheckpointError: something is missing or does not belong to this generator.
        UnsupportedError: the generator lacks what the preset uses.
    """
    preset.check(generator)
    paths = [encoders] if isinstance(encoders, Path) else list(encoders or ())
    encoder = None
    if preset.needs_encoder and paths:
        encoder = Encoders([load_encoder(path, generator, folder) for path in paths])
    judge = None
    if preset.needs_discriminator and generator.source:
        judge = load_discriminator(generator.source, generator.label)
    return Context(
        generator=generator,
        folder=folder,
        encoder=encoder,
        inputs=inputs,
        discriminator=judge and judge.to(generator.w_avg.device),
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
    crops: Sequence[Crop], preset: Preset, context: Context, *, seed: int, batch: int, work: Path | None = None
) -> Inversion:
    """Invert every crop.

    Args:
        crops: in the order of the result.
        preset: the method.
        context: see :func:`make_context`.
        seed: of the run; every image has its own, made of it.
        batch: images optimised side by side.
        work: folder for finished batches; a run that was stopped goes on from there.

    Returns:
        One inversion with a row per crop.

    Raises:
        InputError: a mask or picture that the preset names is missing or does not fit.
    """
    _inputs(preset, context, crops)  # a missing one stops the run before any work
    batch = len(crops) if preset.together else batch
    batches = [crops[i : i + batch] for i in range(0, len(crops), batch)]
    bar = progress_bar(len(crops) * preset.steps, f"{preset.name} ({len(crops)} images)")
    run_key = _run_key(preset, context, seed) if work else b""
    parts = []
    for part in batches:
        before, whole = bar.n, len(part) * preset.steps
        path = work / f"{_key(run_key, part, _inputs(preset, context, part))}.safetensors" if work else None
        if path and path.exists():
            parts.append(_load(path))
        else:
            told = Batch(
                targets=targets_of(part, context.generator),
                seeds=seeds_for(part, preset.name, seed),
                image_ids=[crop.image_id for crop in part],
            )

            def on_step(step: float, steps: float, _: Tensor, before: float = before, whole: int = whole) -> None:
                bar.update(round(before + whole * step / steps) - bar.n)

            done = preset.inverter.run(told, context, preset.options, on_step)
            if path:
                _save(path, done)
            parts.append(done)
        bar.update(before + whole - bar.n)
    bar.close()
    return join(parts)


def _run_key(preset: Preset, context: Context, seed: int) -> bytes:
    """What all batches of a run have in common; computed once, because it reads every weight."""
    encoder = context.encoder.fingerprint() if preset.needs_encoder and context.encoder else ""
    options = fingerprint_of(preset.options)
    # Codes of W do not depend on the class, but those of Z do.
    label = () if context.generator.label is None else (str(context.generator.label),)
    judge = context.discriminator.fingerprint() if context.discriminator else ""
    facts = (code_version(), preset.name, options, context.generator.fingerprint(), encoder, judge, str(seed), *label)
    return "\n".join(facts).encode()


def _inputs(preset: Preset, context: Context, crops: Sequence[Crop]) -> list[Path]:
    """The masks and pictures that the preset names for some crops."""
    ids = [crop.image_id for crop in crops]
    return [file for name in preset.inputs for file in input_files(context.inputs, name, ids)]


def _key(run_key: bytes, crops: Sequence[Crop], inputs: Sequence[Path]) -> str:
    digest = hashlib.sha256(run_key)
    for crop in crops:
        image = crop.image.convert("RGB")
        digest.update(f"{crop.image_id} {image.size}".encode() + image.tobytes())
    for file in inputs:
        digest.update(f"{file.name} {sha256_of(file)}".encode())
    return digest.hexdigest()[:32]


def _save(path: Path, inversion: Inversion) -> None:
    tensors = {f"variable.{name}": value for name, value in inversion.variables.items()}
    tensors |= {f"noise.{i:02}": value for i, value in enumerate(inversion.noise)}
    tensors |= {"trace": inversion.trace, "best_step": inversion.best_step}
    tuned = first_of_each(inversion.weights)
    for i in set(tuned):
        tensors |= {f"weights.{i:04}.{name}": value for name, value in inversion.weights[i].items()}
    facts: dict[str, Any] = {"space": inversion.space, "status": inversion.status, "reason": inversion.reason}
    facts["tuned"] = tuned
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"inversion": json.dumps(facts)})


def _load(path: Path) -> Inversion:
    tensors, metadata = read_weights(path)
    facts = json.loads(metadata["inversion"])
    weights = {
        i: {name.split(".", 2)[2]: v for name, v in tensors.items() if name.startswith(f"weights.{i:04}.")}
        for i in set(facts["tuned"])
    }
    return Inversion(
        facts["space"],
        {name.removeprefix("variable."): v for name, v in tensors.items() if name.startswith("variable.")},
        [tensors[name] for name in sorted(tensors) if name.startswith("noise.")],
        tensors["trace"],
        tensors["best_step"],
        facts["status"],
        facts["reason"],
        [weights[i] for i in facts["tuned"]],
    )

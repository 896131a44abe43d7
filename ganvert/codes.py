"""Inversions as rows: writing codes, reading them back for the generator they belong to, drawing them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganvert import tables, tuning
from ganvert.errors import TableError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.inverters import Context, Inversion, Preset, fingerprint_of
from ganvert.spaces import Space, Variables, make_space
from ganvert.tuning import TunedGenerators

__all__ = ["Codes", "codes_of_inversion", "read_codes", "tuned_folder", "write_codes"]

_NOISE = "noise_"


@dataclasses.dataclass(frozen=True)
class Codes:
    """Codes of some images in one space of one generator.

    Attributes:
        image_ids: in the table's order.
        method: the preset that made them.
        space: the latent space, bound to the generator; to the image's own after :meth:`select`.
        variables: name to [N, *shape].
        noise: optimised noise maps [N, 1, h, h], or empty for the generator's own.
        status: per image.
        tuned: where the generator was tuned to the images, their own generators.
    """

    image_ids: list[str]
    method: str
    space: Space
    variables: Variables
    noise: list[Tensor]
    status: list[str]
    tuned: TunedGenerators | None = None

    def select(self, index: int) -> Codes:
        """The codes of one image, with its own generator."""
        return Codes(
            [self.image_ids[index]],
            self.method,
            make_space(self.space.name, self.tuned.of(index)) if self.tuned else self.space,
            {name: value[index : index + 1] for name, value in self.variables.items()},
            [value[index : index + 1] for value in self.noise],
            [self.status[index]],
        )

    def with_noise(self, told: SynthesisInput) -> SynthesisInput:
        """`told` with the codes' own noise maps, if they have any."""
        device = self.space.generator.w_avg.device
        return dataclasses.replace(told, noise=[value.to(device) for value in self.noise]) if self.noise else told

    @torch.no_grad()
    def draw(self) -> Tensor:
        """Reconstructions [N, C, resolution, resolution]."""
        if self.tuned:
            return torch.cat([self.select(i).draw() for i in range(len(self.image_ids))])
        device = self.space.generator.w_avg.device
        variables = {name: value.to(device) for name, value in self.variables.items()}
        return self.space.generator.synthesize(self.with_noise(self.space.decode(variables)))


def codes_of_inversion(inversion: Inversion, image_ids: Sequence[str], method: str, generator: Generator) -> Codes:
    """The in-memory form of a fresh inversion. It draws what :func:`read_codes` will draw, to the bit."""
    space, weights = make_space(inversion.space, generator), inversion.weights
    tuned = None
    if any(weights):
        keys = [first if weights[first] else None for first in tuning.first_of_each(weights)]
        tuned = TunedGenerators(generator, keys, lambda first: tuning.compact(weights[first]))
    return Codes(list(image_ids), method, space, inversion.variables, inversion.noise, inversion.status, tuned)


def tuned_folder(path: Path) -> Path:
    """Where the tuned weights of a table of codes lie: beside it, ``NAME.tuned``."""
    return path.with_suffix(".tuned")


def write_codes(
    path: Path, preset: Preset, inversion: Inversion, image_ids: Sequence[str], seeds: Sequence[int], context: Context
) -> None:
    """Write one method's codes as Parquet, every variable a fixed-size float32 column.

    Tuned weights go into :func:`tuned_folder`; the files of an earlier table that this one does not name are removed.
    """
    variables = dict(inversion.variables) | {f"{_NOISE}{i:02}": value for i, value in enumerate(inversion.noise)}
    shapes = {name: list(value.shape[1:]) for name, value in variables.items()}
    flat = {name: value.flatten(1).numpy() for name, value in variables.items()}
    facts = {
        "method": preset.name,
        "space": inversion.space,
        "generator": context.generator.fingerprint(),
        "encoder": context.encoder.fingerprint() if preset.needs_encoder and context.encoder else "",
        "config": fingerprint_of(preset.options),
    }
    # Before the table, so that every table finds its files.
    tuned = _save_tuned(path, inversion, facts["generator"])
    rows = [
        {
            "image_id": image_id,
            "status": inversion.status[i],
            "reason": inversion.reason[i],
            "steps": inversion.trace.shape[1],
            "best_step": int(inversion.best_step[i]),
            "seed": seeds[i],
            "trace": inversion.trace[i].numpy(),
            "tuned": tuned[i],
            **facts,
            **{name: value[i] for name, value in flat.items()},
        }
        for i, image_id in enumerate(image_ids)
    ]
    options = json.dumps(dataclasses.asdict(preset.options), sort_keys=True)
    table = tables.codes_table(shapes)
    tables.write(
        path,
        table,
        rows,
        {"shapes": json.dumps(shapes), "options": options, "label": _label(context.generator), **facts},
    )
    for stale in {file.name for file in tuned_folder(path).glob("*.safetensors")} - set(tuned):
        (tuned_folder(path) / stale).unlink()


def _save_tuned(path: Path, inversion: Inversion, generator: str) -> list[str | None]:
    """Write the tuned weights of a table; per image the file's name, None where there are none."""
    if not inversion.weights:
        return [None] * len(inversion.status)
    firsts = tuning.first_of_each(inversion.weights)
    names: dict[int, str | None] = {}
    for first in set(firsts):
        weights = tuning.compact(inversion.weights[first])
        names[first] = tuning.save(tuned_folder(path), weights, generator).name if weights else None
    return [names[first] for first in firsts]


def _label(generator: Generator) -> str:
    return "" if generator.label is None else str(generator.label)


def read_codes(path: Path, generator: Generator) -> Codes:
    """Read codes back for the generator they belong to.

    Raises:
        TableError: missing, damaged, or codes of another generator; or tuned weights are missing.
    """
    data = tables.read(path, "codes")
    facts = tables.metadata_of(data)
    if facts.get("generator") != generator.fingerprint():
        raise TableError(
            f"{path}: codes of generator {str(facts.get('generator'))[:12]}, not of {generator.fingerprint()[:12]}; "
            "invert again with this generator"
        )
    if facts.get("label", "") != _label(generator):
        raise TableError(
            f"{path}: codes of class {facts.get('label') or 'none'}, the generator is asked for class "
            f"{_label(generator) or 'none'}; set generator.label as it was, or invert again"
        )
    variables = {
        name: torch.from_numpy(tables.array(data, name).copy()).unflatten(1, shape)
        for name, shape in facts["shapes"].items()
    }
    noise = [variables.pop(name) for name in sorted(variables) if name.startswith(_NOISE)]
    space = make_space(facts["space"], generator)
    space.check(variables)
    image_ids, status, names = (data.column(name).to_pylist() for name in ("image_id", "status", "tuned"))
    folder = tuned_folder(path)
    for image_id, name in zip(image_ids, names, strict=True):
        if name and not (re.fullmatch(r"[0-9a-f]{32}\.safetensors", name) and (folder / name).is_file()):
            raise TableError(
                f"{path}: image {image_id} needs the tuned weights {name!r} in {folder}, which are not there; "
                "put the folder back (`dvc checkout`), or invert again"
            )
    tuned = None
    if any(names):
        tuned = TunedGenerators(generator, names, lambda name: tuning.load(folder / name, facts["generator"]))
    return Codes(image_ids, facts["method"], space, variables, noise, status, tuned)

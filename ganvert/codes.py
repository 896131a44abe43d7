"""Inversions as rows: writing codes, reading them back for the generator they belong to, drawing them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganvert import tables
from ganvert.errors import TableError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.inverters import Context, Inversion, Preset, fingerprint_of
from ganvert.spaces import Space, Variables, make_space

__all__ = ["Codes", "read_codes", "write_codes"]

_NOISE = "noise_"


@dataclasses.dataclass(frozen=True)
class Codes:
    """Codes of some images in one space of one generator.

    Attributes:
        image_ids: in the table's order.
        method: the preset that made them.
        space: the latent space, bound to the generator.
        variables: name to [N, *shape].
        noise: optimised noise maps [N, 1, h, h], or empty for the generator's own.
        status: per image.
    """

    image_ids: list[str]
    method: str
    space: Space
    variables: Variables
    noise: list[Tensor]
    status: list[str]

    def select(self, index: int) -> Codes:
        """The codes of one image."""
        return Codes(
            [self.image_ids[index]],
            self.method,
            self.space,
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
        device = self.space.generator.w_avg.device
        variables = {name: value.to(device) for name, value in self.variables.items()}
        return self.space.generator.synthesize(self.with_noise(self.space.decode(variables)))


def codes_of_inversion(inversion: Inversion, image_ids: Sequence[str], method: str, generator: Generator) -> Codes:
    """The in-memory form of a fresh inversion."""
    space = make_space(inversion.space, generator)
    return Codes(list(image_ids), method, space, inversion.variables, inversion.noise, inversion.status)


def write_codes(
    path: Path, preset: Preset, inversion: Inversion, image_ids: Sequence[str], seeds: Sequence[int], context: Context
) -> None:
    """Write one method's codes as Parquet, every variable a fixed-size float32 column."""
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
    rows = [
        {
            "image_id": image_id,
            "status": inversion.status[i],
            "reason": inversion.reason[i],
            "steps": inversion.trace.shape[1],
            "best_step": int(inversion.best_step[i]),
            "seed": seeds[i],
            "trace": inversion.trace[i].numpy(),
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


def _label(generator: Generator) -> str:
    return "" if generator.label is None else str(generator.label)


def read_codes(path: Path, generator: Generator) -> Codes:
    """Read codes back for the generator they belong to.

    Raises:
        TableError: missing, damaged, or codes of another generator.
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
    return Codes(
        data.column("image_id").to_pylist(), facts["method"], space, variables, noise, data.column("status").to_pylist()
    )

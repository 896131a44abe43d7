"""The directions of a study: random ones and components, found from the generator's samples, and those of a table."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ganvert.base.errors import TableError
from ganvert.compute.random import normal
from ganvert.directions import DIRECTIONS, Direction, FinderInputs, Samples, load_directions
from ganvert.directions.ganspace import GanspaceOptions
from ganvert.directions.random_draws import RandomOptions
from ganvert.generators import Generator
from ganvert.study.sections.strength import StrengthOptions

__all__ = ["find_directions", "samples_of"]

log = logging.getLogger(__name__)
_CHUNK = 1000  # samples mapped at once


def find_directions(
    generator: Generator, options: StrengthOptions | None, table: Path | None
) -> dict[tuple[str, str], Direction]:
    """Return (name, space) to direction.

    Args:
        generator: whose codes they move.
        options: which random directions and components; None for none.
        table: of directions; one of another generator is left out with a warning.
    """
    found: dict[tuple[str, str], Direction] = {}
    if table is not None:
        try:
            found = load_directions(table, generator)
        except TableError as error:
            log.warning("study: without the directions of %s: %s", table, error)
    if options is None:
        return found
    inputs = FinderInputs(samples=samples_of(generator, options.samples))
    made: list[Direction] = []
    if options.random and options.stds:
        made += DIRECTIONS["random"].find(inputs, RandomOptions(count=options.random, stds=options.stds))
    if options.components:
        wanted = {f"ganspace_{k}" for k in options.components}
        components = DIRECTIONS["ganspace"].find(inputs, GanspaceOptions(components=max(options.components) + 1))
        made += [direction for direction in components if direction.name in wanted]
    # Its own before those of the table: names say which samples they are from only together with the options.
    return found | {(direction.name, direction.space): direction for direction in made}


@torch.no_grad()
def samples_of(generator: Generator, count: int) -> Samples:
    """Return z and w of the seeds 0 and on, without scores; only the mapping network runs."""
    z = normal(range(count), (generator.z_dim,))
    parts = [generator.map(part.to(generator.w_avg))[:, 0].double().cpu() for part in z.split(_CHUNK)]
    return Samples(
        z=z.double().numpy(),
        w=torch.cat(parts).numpy(),
        scores={},
        num_ws=generator.num_ws,
        generator=generator.fingerprint(),
    )

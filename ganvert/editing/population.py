"""Where a code lies along a direction among the generator's samples: percentiles, and standard deviations.

A direction adds ``a u v_r`` to row r. The coordinate of a code is the sum over these rows of its products with v_r, and
that of a sample the same with its w in every row. An amount of a moves the coordinate by ``a u sum |v_r|^2``, so that
the amount that reaches a percentile is known without a search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ganvert.base.errors import UnsupportedError
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.directions import Direction
from ganvert.editing.amounts import Amount, Percentile
from ganvert.generators.base import Generator
from ganvert.spaces import Space, slots_of

__all__ = ["SAMPLES", "Population"]

#: Seeds 0 and on of the generator, without truncation.
SAMPLES = 5000
_CHUNK = 500


@dataclass(frozen=True)
class _Line:
    """A direction's rows as one vector, beside those of the samples; the coordinate is the product with it.

    Attributes:
        vector: [n]: the rows that a code has, one after the other; in S the styles.
        samples: coordinates of the samples [SAMPLES].
        step: what amount 1 adds to the coordinate.
    """

    vector: np.ndarray
    samples: np.ndarray
    step: float


class Population:
    """The samples of a generator, drawn when they are first asked for."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._w: np.ndarray | None = None
        self._lines: dict[tuple[object, ...], _Line] = {}

    def amount(self, amount: Amount, direction: Direction, code: Code) -> float:
        """Return an amount in standard deviations: a percentile as what takes this code there.

        Raises:
            UnsupportedError: as :meth:`check`.
        """
        if not isinstance(amount, Percentile):
            return amount
        space = code.space
        self.check(space, direction)
        line = self._line(space, direction)
        return float(
            (np.percentile(line.samples, amount.value) - _coordinate(space, direction, code, line)) / line.step
        )

    def sigmas(self, direction: Direction, code: Code, amount: float) -> float | None:
        """Return how far a code lies from the samples' mean along a direction after an edit [their deviations].

        None where a code has no coordinate along it, see :meth:`check`.
        """
        space = code.space
        try:
            self.check(space, direction)
        except UnsupportedError:
            return None
        line = self._line(space, direction)
        place = _coordinate(space, direction, code, line) + amount * line.step
        return float((place - line.samples.mean()) / line.samples.std())

    def check(self, space: Space, direction: Direction) -> None:
        """Refuse codes that have no coordinate along a direction.

        Raises:
            UnsupportedError: they lie on spheres, or are styles and the direction is of W.
        """
        if direction.moves_in == "z":
            raise UnsupportedError(
                f"percentiles: {space.name} codes move on spheres, where a direction has no coordinate that grows with "
                "the amount; give amounts in standard deviations"
            )
        if direction.space != "s" and space.name.rpartition("/")[2] == "s":
            raise UnsupportedError(
                f"percentiles: {space.name} codes have no rows that direction {direction.name!r} of {direction.space} "
                "could be measured on; give amounts in standard deviations, or a direction of s"
            )

    def _line(self, space: Space, direction: Direction) -> _Line:
        # By value: a direction on other rows is made anew whenever it is named.
        facts = direction.space, direction.first_row, direction.last_row, direction.unit, direction.vector.tobytes()
        key = (*facts, space.first_coded)
        if key not in self._lines:
            self._lines[key] = self._measured(space, direction)
        return self._lines[key]

    @torch.no_grad()
    def _measured(self, space: Space, direction: Direction) -> _Line:
        if self._w is None:
            parts = [range(start, min(start + _CHUNK, SAMPLES)) for start in range(0, SAMPLES, _CHUNK)]
            generator = self._generator
            drawn = [generator.map(normal(part, (generator.z_dim,)).to(generator.w_avg)) for part in parts]
            self._w = torch.cat([ws.double().cpu() for ws in drawn]).numpy()
        if direction.space == "s":
            styles = [self._styles(part, direction) for part in np.array_split(self._w, max(SAMPLES // _CHUNK, 1))]
            return _Line(direction.vector, np.concatenate(styles), direction.unit)
        first = max(direction.first_row, space.first_coded)
        rows = np.broadcast_to(direction.vector, (direction.last_row - direction.first_row, self._w.shape[2]))
        rows = rows[first - direction.first_row :]
        samples = np.einsum("nrd,rd->n", self._w[:, first : direction.last_row], rows)
        return _Line(rows.reshape(-1), samples, direction.unit * float((rows**2).sum()))

    def _styles(self, w: np.ndarray, direction: Direction) -> np.ndarray:
        """Return coordinates along a direction of S."""
        styles = self._generator.styles(torch.from_numpy(w).to(self._generator.w_avg))
        slots = slots_of(self._generator, (direction.first_row, direction.last_row))
        return torch.cat([styles[slot.name] for slot in slots], dim=1).double().cpu().numpy() @ direction.vector


@torch.no_grad()
def _coordinate(space: Space, direction: Direction, code: Code, line: _Line) -> float:
    drawn = space.decode(code.variables)
    if direction.space == "s":
        styles = space.generator.resolve_styles(drawn)
        slots = slots_of(space.generator, (direction.first_row, direction.last_row))
        values = torch.cat([styles[slot.name] for slot in slots], dim=1)
    else:
        assert drawn.ws is not None  # checked
        values = drawn.ws[:, max(direction.first_row, space.first_coded) : direction.last_row]
    return float(values.double().cpu().numpy().reshape(-1) @ line.vector)

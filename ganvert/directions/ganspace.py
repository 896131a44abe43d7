"""GANSpace: principal components of W as directions (Härkönen et al. 2020, section 2; defaults of their code).

The covariance of the samples given is exact and in float64. Signs, which PCA leaves open, are fixed so that the
entry of largest magnitude is positive. Components depend on the samples: match two fits by cosine, not by index, as
the option `named` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.directions.base import Direction, FinderInputs, choose, row_range, signed, step_length
from ganvert.directions.transfer import carry_each, carry_jointly

__all__ = ["GanspaceOptions", "NamedComponent", "find_ganspace", "principal_components"]


@dataclass(frozen=True, kw_only=True)
class NamedComponent:
    """A component with a name and rows of its own, such as "a smile is component 46 on row 4".

    Attributes:
        component: its number among the components of these samples, from 0; or
        like: the name of a direction of W in the table `directions`: the component whose cosine to it is largest in
            magnitude, with the sign at which both point the same way.
        flip: whether to turn a numbered component around.
        first_row: first row of ws that it moves.
        last_row: one past the last; None for all.
    """

    component: int | None = None
    like: str | None = None
    flip: bool = False
    first_row: int = 0
    last_row: int | None = None

    def __post_init__(self) -> None:
        if (self.component is None) == (self.like is None):
            raise ParamsError("wanted either component (a number) or like (a direction), not both")
        if self.component is not None and self.component < 0:
            raise ParamsError(f"component: wanted 0 or more, got {self.component}")
        if self.flip and self.like is not None:
            raise ParamsError("flip: a component found by likeness already points the same way; leave it out")


@dataclass(frozen=True, kw_only=True)
class GanspaceOptions:
    """params.yaml: discover.methods.ganspace.

    Attributes:
        components: how many, named ``ganspace_0`` (largest variance) and on; 0 for the named ones alone.
        spaces: w, and z for the components carried there.
        transfer: to Z each component alone (equation 6 as printed) or all at once (as the F/Z+ code does).
        first_row: first row of ws that the directions move.
        last_row: one past the last; None for all.
        named: further directions: a name, and which component it is.
        directions: the table of directions that `named` refers to by `like`, such as one that
            ``ganvert directions import`` has written from published components.
        min_cosine: the least cosine at which a component may bear the name of another direction.
    """

    components: int = 10
    spaces: tuple[Literal["w", "z"], ...] = ("w", "z")
    transfer: Literal["each", "jointly"] = "each"
    first_row: int = 0
    last_row: int | None = None
    named: dict[str, NamedComponent] = field(default_factory=dict)
    directions: str | None = None
    min_cosine: float = 0.5

    def __post_init__(self) -> None:
        if self.components < 0 or not (self.components or self.named):
            raise ParamsError(f"components: wanted at least 1, or 0 and some named ones, got {self.components}")
        if not self.spaces:
            raise ParamsError("spaces: wanted w, z or both, got none")
        if not 0 <= self.min_cosine <= 1:
            raise ParamsError(f"min_cosine: wanted 0 to 1, got {self.min_cosine}")
        for name, chosen in self.named.items():
            if name in self._numbered:
                raise ParamsError(f"named.{name}: is the name of a numbered component; choose another")
            if chosen.like is not None and self.directions is None:
                raise ParamsError(f"named.{name}.like: wanted a table with that direction; name it (directions: FILE)")

    @property
    def _numbered(self) -> list[str]:
        return [f"ganspace_{k}" for k in range(self.components)]

    def names(self) -> list[str]:
        """Return the names of the directions: numbered ones by falling variance, then the named ones."""
        return [*self._numbered, *self.named]


@dataclass(frozen=True)
class _Choice:
    """A direction to make: its name, the component, its sign, its rows and what is known of it."""

    name: str
    component: int
    sign: int
    rows: tuple[int, int]
    quality: Mapping[str, Any]


def find_ganspace(inputs: FinderInputs, options: GanspaceOptions) -> list[Direction]:
    """Return the first principal components of W and the named ones, and the same carried to Z.

    Raises:
        ParamsError: more components than the samples hold, rows that the generator does not have, or no component that
            is like a direction.
        UnknownNameError: the table has no direction of that name.
    """
    samples = inputs.samples
    # In W, because PCA of Z finds nothing: z is isotropic, and all of its directions have the same variance.
    vectors, variances = principal_components(samples.w)
    choices = _choices(vectors, inputs, options)
    most = max(choice.component for choice in choices) + 1
    if most > len(vectors):
        raise ParamsError(
            f"components: wanted at most {len(vectors)} of {len(samples.w)} samples in {samples.w.shape[1]}-d, "
            f"got {most}"
        )
    used = sorted({choice.component for choice in choices})
    basis = {"w": vectors[used]}
    if "z" in options.spaces:
        carry = carry_each if options.transfer == "each" else carry_jointly
        basis["z"] = carry(basis["w"], samples.w, samples.z)
    # The unit is measured in the space that a direction moves: the deviation of a component in W says nothing about the
    # direction of Z that predicts it.
    codes = {"w": samples.w, "z": samples.z}
    # A direction of Z keeps the share of its component, by which both are ranked.
    share = variances / variances.sum()
    directions = []
    for space in options.spaces:
        of_component = dict(zip(used, basis[space], strict=True))
        for choice in choices:
            vector = choice.sign * of_component[choice.component]
            quality = {"explained_variance": float(share[choice.component]), **choice.quality}
            unit = step_length(codes[space], vector)
            directions.append(Direction(choice.name, space, "ganspace", vector, unit, *choice.rows, quality))
    return directions


def _choices(vectors: np.ndarray, inputs: FinderInputs, options: GanspaceOptions) -> list[_Choice]:
    num_ws = inputs.samples.num_ws
    rows = row_range(options.first_row, options.last_row, num_ws, "ganspace")
    choices = [_Choice(f"ganspace_{k}", k, 1, rows, {}) for k in range(options.components)]
    for name, wanted in options.named.items():
        rows = row_range(wanted.first_row, wanted.last_row, num_ws, f"ganspace {name}")
        component, sign, quality = wanted.component, -1 if wanted.flip else 1, {}
        if component is None:
            assert wanted.like is not None  # one of both is given
            given = choose(inputs.directions, wanted.like, "w").vector
            # A component is one vector for all rows: of a vector per row, their mean is compared.
            given = given if given.ndim == 1 else given.mean(axis=0)
            cosines = vectors @ given / np.linalg.norm(given)
            component = int(np.abs(cosines).argmax())
            cosine = float(cosines[component])
            if abs(cosine) < options.min_cosine:
                raise ParamsError(
                    f"named.{name}: the component most like {wanted.like!r} is {component} with a cosine of "
                    f"{abs(cosine):.2f}, wanted {options.min_cosine:g}; it is spread over several components: use the "
                    "direction itself, draw more samples, or lower min_cosine"
                )
            sign, quality = (1 if cosine > 0 else -1), {"cosine": abs(cosine)}
        choices.append(_Choice(name, component, sign, rows, {"component": component, **quality}))
    return choices


def principal_components(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the PCA of codes [N, d] in float64.

    Returns:
        Unit rows [K, d] by falling variance, K = min(N - 1, d), and their variances [K] (divided by N - 1).
    """
    w = np.asarray(w, dtype=np.float64)
    centred = w - w.mean(axis=0)
    # Centred samples span one dimension less than there are of them. Beyond it variances are 0 and directions
    # arbitrary.
    count = min(len(w) - 1, w.shape[1])
    if count < 1:
        raise ParamsError(f"ganspace: wanted at least 2 samples, got {len(w)}")
    # eigh sorts by rising eigenvalue and puts eigenvectors into columns; directions are rows by falling variance.
    variances, columns = np.linalg.eigh(centred.T @ centred / (len(w) - 1))
    # Rounding can make the smallest eigenvalues of a covariance slightly negative.
    return signed(columns.T[::-1][:count]), variances[::-1][:count].clip(min=0)

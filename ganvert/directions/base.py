"""Directions: what one is, the finders' contract, and how a table keeps them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from ganvert import tables
from ganvert.base.errors import InputError, ParamsError, ShapeError, TableError
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.generators.base import Generator, check_owner
from ganvert.spaces import slots_of

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from ganvert.codes import Codes
    from ganvert.faces.parsing import FaceParser

__all__ = [
    "Direction",
    "DirectionSpace",
    "Finder",
    "FinderInputs",
    "Need",
    "Rows",
    "Samples",
    "add_directions",
    "choose",
    "load_directions",
    "load_samples",
    "row_range",
    "save_directions",
    "signed",
    "step_length",
    "unconditional",
]

#: Vectors are stored as float32, and of 512 numbers the rounding moves the length by less.
_UNIT_TOLERANCE = 1e-3
_MOST_BYTES = 256 << 20  # of a table of directions; a thousand of them have 4 MB
#: The space whose codes a direction is added to; s for the styles that codes of any space become.
DirectionSpace = Literal["z", "w", "zplus", "wplus", "s"]


@dataclass(frozen=True, eq=False)
class Samples:
    """What directions are found from: N codes of one generator and how their pictures score.

    Attributes:
        z: float64 [N, z_dim].
        w: float64 [N, w_dim], the mapping of `z` without truncation.
        scores: attribute to float64 [N]; nan where it could not be measured (no face found, or never drawn).
            Such rows still serve PCA and the transfer to Z.
        num_ws: rows of ws of the generator.
        generator: its fingerprint.

    Raises:
        ShapeError: the arrays do not have one row per sample.
    """

    z: np.ndarray
    w: np.ndarray
    scores: Mapping[str, np.ndarray]
    num_ws: int
    generator: str = ""

    def __post_init__(self) -> None:
        if self.z.ndim != 2 or self.w.ndim != 2 or len(self.z) != len(self.w):
            raise ShapeError(f"samples: wanted z [N, z_dim] and w [N, w_dim], got {self.z.shape} and {self.w.shape}")
        for name, score in self.scores.items():
            if score.shape != (len(self.z),):
                raise ShapeError(f"samples: score {name!r}: wanted [{len(self.z)}], got {list(score.shape)}")


@dataclass(frozen=True, eq=False)
class Direction:
    """A way to move a code: amount a moves rows [first_row, last_row) by ``a * unit * vector``.

    Attributes:
        name: unique within its space.
        space: the space whose codes it is added to: z or w for one vector on all its rows, zplus or wplus for a vector
            on each; s for a vector of the styles that read its rows.
        method: the finder that made it.
        vector: float64 [d], or [last_row - first_row, d] with a vector per row; in s the styles of its rows one after
            the other (:func:`ganvert.spaces.slots_of`). Unit length as a whole.
        unit: length of one step (amount 1) in the space's own units: one standard deviation of the samples' codes
            along the vector, so that amounts compare across methods and spaces. Where a score was fitted, pictures may
            change less than it says, and a step may be longer (``step`` of its quality).
        first_row: first row of ws (or of Z+) that it moves.
        last_row: one past the last.
        quality: figures of the fit, JSON numbers, or lists or mappings of them.
    """

    name: str
    space: DirectionSpace
    method: str
    vector: np.ndarray
    unit: float
    first_row: int
    last_row: int
    quality: Mapping[str, Any] = field(default_factory=dict)

    @property
    def moves_in(self) -> str:
        """The direction space of codes that it moves, z or w (:attr:`ganvert.spaces.Space.direction_space`), or s."""
        return self.space.removesuffix("plus")

    @property
    def conditions(self) -> tuple[str, ...]:
        """The scores that it leaves alone, as far as the fit can tell (``leak`` of its quality)."""
        leak = self.quality.get("leak")
        return tuple(leak) if isinstance(leak, Mapping) else ()

    @property
    def stands_in(self) -> str:
        """The name of the direction that this one is without its conditions (`stands_in` of its quality), or empty."""
        return str(self.quality.get("stands_in", ""))

    @property
    def tested(self) -> tuple[float, float] | None:
        """The amounts between which portraits stayed whole (`range` of its quality); None where nobody has looked."""
        low, high = self.quality.get("range", (None, None))
        return None if low is None else (low, high)

    def step(self, amount: float) -> np.ndarray:
        """Return what is added to a code for `amount`: float32, of the shape of `vector`."""
        # Multiplied in float64 and rounded once, to the precision of codes.
        return (self.vector * (self.unit * amount)).astype(np.float32)

    def row(self) -> dict[str, Any]:
        """Return the row of :data:`ganvert.tables.DIRECTIONS`."""
        return {
            "name": self.name,
            "space": self.space,
            "method": self.method,
            "vector": self.vector.reshape(-1),
            "unit": self.unit,
            "first_row": self.first_row,
            "last_row": self.last_row,
            "quality": json.dumps(self.quality, sort_keys=True),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Direction:
        """Return the direction of a row; its vector has the table's float32 precision."""
        vector = np.asarray(row["vector"], dtype=np.float64)
        if row["space"].endswith("plus"):
            vector = vector.reshape(row["last_row"] - row["first_row"], -1)
        return cls(**{**row, "vector": vector, "quality": json.loads(row["quality"])})


@dataclass(frozen=True, eq=False, kw_only=True)
class FinderInputs:
    """What a finder may use. Only the samples are always there; the rest is loaded for finders that declare it.

    Attributes:
        samples: codes of the generator and their scores.
        generator: the frozen generator, for its weights or its Jacobian.
        masks: name to [1, 1, resolution, resolution], 1 inside a region; those that the options name (`masks`).
        parser: of faces, for regions of samples' pictures; where the options have such regions (`parser`).
        codes: inversions of photographs by the method that the options name (`codes`).
        photographs: image id to aligned crop; those that the options name (`photographs`).
        directions: (name, space) to direction, of the table that the options name (`directions`).
    """

    samples: Samples
    generator: Generator | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    parser: FaceParser | None = None
    codes: Codes | None = None
    photographs: Mapping[str, Image.Image] = field(default_factory=dict)
    directions: Mapping[tuple[str, str], Direction] = field(default_factory=dict)


#: An input of :class:`FinderInputs` beside the samples.
Need = Literal["generator", "masks", "parser", "codes", "photographs", "directions"]


@dataclass(frozen=True)
class Finder:
    """A registry entry.

    Attributes:
        function: ``(inputs, options) -> directions``.
        options: the dataclass of its options. A finder that needs masks, codes, photographs or directions has an option
            of that name: names of pictures in the folder of inputs, a method, file names or image ids, a table.
        spaces: the spaces that it finds directions of.
        needs: the inputs that it needs beside the samples; one whose option is empty is not needed.
        names: returns the names of the directions that it finds with some options, so that a mistyped one is refused
            before any work; None if they are known only afterwards.
    """

    function: Callable[[FinderInputs, Any], list[Direction]]
    options: type
    spaces: tuple[DirectionSpace, ...] = ("w",)
    needs: tuple[Need, ...] = ()
    names: Callable[[Any], Iterable[str]] | None = None

    def needs_with(self, options: Any) -> list[Need]:
        """Return the inputs that it needs with some options."""
        return [name for name in self.needs if getattr(options, name, True)]

    def find(self, inputs: FinderInputs, options: Any) -> list[Direction]:
        """Return the finder's directions.

        Raises:
            ParamsError: an input that the finder needs is missing, or an option does not fit.
        """
        missing = [name for name in self.needs_with(options) if not getattr(inputs, name)]
        if missing:
            raise ParamsError(f"{self.function.__name__}: wanted {', '.join(missing)} beside the samples, got none")
        return self.function(inputs, options)


def save_directions(path: Path, directions: Iterable[Direction], metadata: Mapping[str, str] | None = None) -> None:
    """Write the directions table, whole or not at all."""
    tables.write(path, tables.DIRECTIONS, [direction.row() for direction in directions], metadata)


def add_directions(path: Path, made: Sequence[Direction], generator: Generator) -> None:
    """Add directions to a table, which is made if it is not there.

    Raises:
        InputError: the table has a direction of that name and space.
        TableError: see :func:`load_directions`.
    """
    known = load_directions(path, generator) if path.exists() else {}
    if twice := [direction.name for direction in made if (direction.name, direction.space) in known]:
        raise InputError(f"{path} has a direction {brief(twice[0])} already; choose another --name")
    save_directions(path, [*known.values(), *made], {"generator": generator.fingerprint()})


def load_directions(path: Path, generator: Generator | None = None) -> dict[tuple[str, str], Direction]:
    """Read a directions table as (name, space) to direction.

    Raises:
        TableError: the table is missing, damaged, or of another generator than `generator`; a direction is not one
            (its vector, unit or rows); or two methods gave one name to directions of the same space.
    """
    directions: dict[tuple[str, str], Direction] = {}
    if Path(path).is_file() and Path(path).stat().st_size > _MOST_BYTES:
        raise TableError(f"{path}: wanted directions, at most {_MOST_BYTES >> 20} MB, got more")
    data = tables.read(path, tables.DIRECTIONS)
    owner = tables.metadata_of(data).get("generator")
    if generator is not None:
        remedy = "find them again for this one: run the sample and discover stages"
        check_owner(generator, owner, f"{path}: directions", remedy)
    for row in data.to_pylist():
        direction = _checked(row, generator, path)
        # One name for two directions would make an edit depend on which of them was written last.
        other = directions.setdefault((direction.name, direction.space), direction)
        if other is not direction:
            raise TableError(
                f"{path}: {other.method} and {direction.method} both have a direction {direction.name!r} in "
                f"{direction.space}; name one of them differently and run `dvc repro discover`"
            )
    return directions


def _checked(row: Mapping[str, Any], generator: Generator | None, path: Path) -> Direction:
    """Return the direction of a row that may come from outside, after a check against the generator if there is one."""

    def refuse(wanted: str, got: object) -> TableError:
        return TableError(f"{path}: direction {brief(row['name'])}: wanted {wanted}, got {brief(got)}; find it again")

    if row["space"] not in get_args(DirectionSpace):
        raise refuse(f"the space {', '.join(get_args(DirectionSpace))}", row["space"])
    vector = np.asarray(row["vector"], dtype=np.float64)
    if not np.isfinite(vector).all() or abs(np.linalg.norm(vector) - 1) > _UNIT_TOLERANCE:
        raise refuse("a vector of length 1", float(np.linalg.norm(vector)))
    if not (math.isfinite(row["unit"]) and row["unit"] > 0):
        raise refuse("a positive unit", row["unit"])
    if not 0 <= row["first_row"] < row["last_row"]:
        raise refuse("rows first_row < last_row", (row["first_row"], row["last_row"]))
    rows = row["last_row"] - row["first_row"] if row["space"].endswith("plus") else 1
    if len(vector) % rows:
        raise refuse(f"{rows} vectors, one a row", len(vector))
    if generator is not None:
        if row["last_row"] > generator.num_ws:
            raise refuse(f"rows within the generator's {generator.num_ws}", row["last_row"])
        size = rows * (generator.z_dim if row["space"].startswith("z") else generator.w_dim)
        if row["space"] == "s":
            size = sum(slot.width for slot in slots_of(generator, (row["first_row"], row["last_row"])))
        if len(vector) != size:
            raise refuse(f"a vector of {size} numbers", len(vector))
    try:
        direction = Direction.from_row(row)
    except (ValueError, RecursionError) as error:
        raise refuse("its quality as JSON", row["quality"]) from error
    if not isinstance(direction.quality, dict):
        raise refuse("its quality as a JSON object", row["quality"])
    if "range" in direction.quality and not _is_range(direction.quality["range"]):
        raise refuse("a range of an amount below 0 and one above", direction.quality["range"])
    return direction


def _is_range(value: Any) -> bool:
    """Return whether a value from a file is a pair of finite numbers around 0."""
    if not (isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)):
        return False
    return -math.inf < value[0] < 0 < value[1] < math.inf


def choose(directions: Mapping[tuple[str, str], Direction], name: str, space: str) -> Direction:
    """Return the direction `name` that moves codes in `space`, z or w, or the styles that they become.

    Of several by the same name, one vector for all rows is meant before a vector per row, and this before one of S.

    Raises:
        UnknownNameError: there is none; the message has the names that exist there.
    """
    here: dict[str, Direction] = {}
    for wanted in ("s", space + "plus", space):
        here |= {known: direction for (known, where), direction in directions.items() if where == wanted}
    return lookup(here, name, f"direction in {space}")


def unconditional(directions: Mapping[tuple[str, str], Direction], direction: Direction) -> Direction | None:
    """Return the direction of the same score and space that leaves no other score alone.

    None where a table has none, or the direction itself leaves none alone.
    """
    score = direction.quality.get("score")
    if score is None or not direction.conditions:
        return None
    others = (other for other in directions.values() if other.space == direction.space and not other.conditions)
    return next((other for other in others if other.quality.get("score") == score), None)


def load_samples(path: Path) -> Samples:
    """Read the samples table; its metadata holds ``num_ws``, every further column is a score.

    Raises:
        TableError: missing, damaged, or without ``num_ws``.
    """
    data = tables.read(path, "samples")
    metadata = tables.metadata_of(data)
    if not re.fullmatch("[0-9]{1,4}", str(metadata.get("num_ws", ""))):
        raise TableError(f"{path}: metadata lacks num_ws, got {metadata.get('num_ws')!r}; run `dvc repro sample` again")
    for field_ in data.schema:
        vectors = pa.types.is_fixed_size_list(field_.type) and pa.types.is_floating(field_.type.value_type)
        if field_.name != "seed" and not (vectors if field_.name in ("z", "w") else pa.types.is_floating(field_.type)):
            raise TableError(f"{path}: column {field_.name!r}: wanted floats, got {field_.type}")
    scores = {
        name: data.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
        for name in data.column_names
        if name not in ("seed", "z", "w")
    }
    # Float64 from here on: covariances and regressions sum over all samples.
    z, w = (tables.array(data, name).astype(np.float64) for name in ("z", "w"))
    if not (np.isfinite(z).all() and np.isfinite(w).all()):
        raise TableError(f"{path}: z or w have numbers that are not finite; run `dvc repro sample` again")
    return Samples(
        z=z, w=w, scores=scores, num_ws=int(metadata["num_ws"]), generator=str(metadata.get("generator", ""))
    )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A range of rows of ws as params.yaml has it.

    Attributes:
        first_row: first row that directions move.
        last_row: one past the last; None for all.
    """

    first_row: int = 0
    last_row: int | None = None


def row_range(first_row: int, last_row: int | None, num_ws: int, what: str) -> tuple[int, int]:
    """Return a half-open range of rows, None for "to the end"; raise ParamsError when it is empty or too long."""
    last = num_ws if last_row is None else last_row
    if not 0 <= first_row < last <= num_ws:
        raise ParamsError(
            f"{what}: rows [{first_row}, {last}) are not a range within the generator's {num_ws} rows (num_ws); "
            "last_row: null stands for all of them"
        )
    return first_row, last


def signed(vectors: np.ndarray) -> np.ndarray:
    """Return eigenvectors [K, d] with the signs at which the entry of largest magnitude is positive."""
    # Otherwise the sign of a component, and with it the meaning of a positive amount, would depend on the LAPACK build.
    return vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1))


def step_length(codes: np.ndarray, vector: np.ndarray) -> float:
    """Return the `unit` of a direction: the standard deviation of codes [N, d] along the unit vector [d]."""
    # Of the samples and not of unit Euclidean length: W varies far more along its first principal component than along
    # its last, and in Z every direction has a standard deviation of about 1.
    return float(np.std(codes @ vector, ddof=1))

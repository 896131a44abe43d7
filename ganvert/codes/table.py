"""Reading the table of codes, with a check that codes and tuned weights belong to the generator."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ganvert import tables
from ganvert.base.errors import InputError, TableError
from ganvert.base.texts import brief
from ganvert.codes.code import Codes
from ganvert.generators import tuned as tuning
from ganvert.generators.base import Generator, check_owner
from ganvert.generators.tuned import TunedGenerators
from ganvert.spaces import Space, make_space

__all__ = ["NOISE", "batches", "label_of", "read_codes", "space_of", "tuned_folder"]

#: Columns of optimised noise maps are this and a number of two digits, coarse to fine.
NOISE = "noise_"
_FLOATS = (pa.float32(), pa.float16())


def tuned_folder(path: Path) -> Path:
    """Return the folder of the tuned weights of a table of codes: beside it, ``NAME.tuned``."""
    return path.with_suffix(".tuned")


def label_of(generator: Generator) -> str:
    """Return a conditional generator's class as the metadata of codes names it; "" without one."""
    return "" if generator.label is None else str(generator.label)


def read_codes(
    path: Path, generator: Generator, *, whole: bool = True, image_ids: Sequence[str] | None = None
) -> Codes:
    """Read codes for the generator they belong to.

    Args:
        path: the table.
        generator: the generator they were found on.
        whole: whether they are to be drawn. If False, tables that leave variables out (``skip``) can be read too.
        image_ids: the images to read, in this order; all of the table if None.

    Raises:
        TableError: the table is missing, damaged, or of another generator; variables or tuned weights are missing.
        InputError: an image is not in the table.
    """
    stored = _StoredCodes(path, generator, whole)
    if image_ids is None:
        return stored.codes(tables.read(path, "codes", stored.columns))
    wanted = pa.array(list(dict.fromkeys(image_ids)), pa.string())
    parts = [
        # Filtered piece by piece: a table of feature maps is larger than memory long before the wanted rows are.
        part.filter(pc.is_in(part.column("image_id"), wanted))
        for part in tables.batches(path, "codes", stored.columns, 4096)
    ]
    rows = pa.Table.from_batches(parts) if parts else tables.read(path, "codes", stored.columns)
    known = {image_id: i for i, image_id in enumerate(rows.column("image_id").to_pylist())}
    if missing := [image_id for image_id in image_ids if image_id not in known]:
        some = ", ".join(row["image_id"] for row, _ in zip(tables.rows(path, "codes", ["image_id"]), range(5)))
        raise InputError(f"{path} has no image {', '.join(map(repr, missing))}; it has {some} ...")
    return stored.codes(rows.take([known[image_id] for image_id in image_ids]))


def batches(path: Path, generator: Generator, batch: int = 64, *, whole: bool = True) -> Iterator[Codes]:
    """Yield codes in pieces of at most `batch` images, in order; for the rest see :func:`read_codes`."""
    stored = _StoredCodes(path, generator, whole)
    for part in tables.batches(path, "codes", stored.columns, batch):
        yield stored.codes(part)


def space_of(path: Path, generator: Generator) -> Space:
    """Return the space of the codes of a table, which are checked as :func:`read_codes` does but not read."""
    return _StoredCodes(path, generator, whole=True).space


class _StoredCodes:
    """A table of codes that has been checked against a generator."""

    def __init__(self, path: Path, generator: Generator, whole: bool) -> None:
        self.path, self.generator = path, generator
        self.facts = tables.metadata_of(tables.schema_of(path, "codes"))
        check_owner(generator, self.facts.get("generator"), f"{path}: codes", "invert again with this generator")
        if self.facts.get("label", "") != label_of(generator):
            raise TableError(
                f"{path}: codes of class {self.facts.get('label') or 'none'}, but the generator draws class "
                f"{label_of(generator) or 'none'}; set generator.label as it was, or invert again"
            )
        skipped = self.facts.get("skipped", "")
        if whole and skipped:
            raise TableError(
                f"{path}: {skipped} of the codes were not stored (skip), so that they cannot be drawn or edited; "
                "invert again without skip, or read the rest with whole=False"
            )
        self.skipped = set(skipped.split(",")) - {""}
        if bad := [key for key in ("method", "space") if not isinstance(self.facts.get(key), str)]:
            raise TableError(f"{path}: metadata lack {bad[0]}; invert again")
        self.space = make_space(self.facts["space"], generator)
        self._check_shapes(tables.schema_of(path, "codes"))
        self.columns = ["image_id", "status", "tuned", *self.facts["shapes"]]
        self._check_tuned()

    def _check_shapes(self, schema: pa.Schema) -> None:
        """Refuse variables that are not those of the space, and columns that do not hold them."""
        shapes = self.facts.get("shapes")
        noise = {f"{NOISE}{i:02}": (1, *shape) for i, shape in enumerate(self.generator.noise_shapes)}
        known = {name: list(shape) for name, shape in {**self.space.shapes, **noise}.items()}
        if not isinstance(shapes, dict) or any(known.get(name) != shape for name, shape in shapes.items()):
            raise TableError(
                f"{self.path}: wanted variables of the space {self.space.name} {known}, got {brief(shapes)}"
            )
        for name, shape in shapes.items():
            kind = schema.field(name).type if name in schema.names else None
            if kind not in (
                pa.list_(pa.field("element", float_, nullable=False), math.prod(shape)) for float_ in _FLOATS
            ):
                raise TableError(
                    f"{self.path}: wanted a column {name!r} of {math.prod(shape)} floats a row, got {kind}"
                )
        if not self.skipped and (missing := set(self.space.shapes) - set(shapes)):
            raise TableError(f"{self.path}: the codes lack {min(missing)!r}; invert again")

    def codes(self, rows: pa.Table | pa.RecordBatch) -> Codes:
        """Return rows of the table as codes."""
        variables = {
            name: torch.from_numpy(tables.array(rows, name).astype(np.float32)).unflatten(1, shape)
            for name, shape in self.facts["shapes"].items()
        }
        image_ids, status, files = (rows.column(name).to_pylist() for name in ("image_id", "status", "tuned"))
        for name, value in variables.items():
            if not value.isfinite().all():
                image = image_ids[int((~value.flatten(1).isfinite().all(dim=1)).nonzero()[0])]
                raise TableError(
                    f"{self.path}: image {image}: {name!r} has numbers that are not finite; invert it again"
                )
        # Two digits in the name: alphabetical order is the order of the convolutions.
        noise = [variables.pop(name) for name in sorted(variables) if name.startswith(NOISE)]
        # A table written with `skip` lacks variables on purpose.
        if not self.skipped:
            self.space.check(variables)
        folder, owner = tuned_folder(self.path), self.facts["generator"]
        keys = [file or None for file in files]
        generators = TunedGenerators(self.generator, keys, lambda file: tuning.load(folder / file, owner))
        return Codes(image_ids, self.facts["method"], self.space.name, variables, noise, status, generators)

    def _check_tuned(self) -> None:
        """Refuse names that this library does not write, which could lead out of the folder, and missing files."""
        folder = tuned_folder(self.path)
        for row in tables.rows(self.path, "codes", ["image_id", "tuned"], 4096):
            name = row["tuned"]
            if name and not (re.fullmatch(r"[0-9a-f]{32}\.safetensors", name) and (folder / name).is_file()):
                raise TableError(
                    f"{self.path}: image {row['image_id']} needs the tuned weights {name!r} in {folder}, which are not "
                    "there; put the folder back (`dvc checkout`), or invert again"
                )

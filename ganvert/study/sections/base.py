"""The contract of a section: a photograph's code of one cell goes in, rows of numbers and a few pictures come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.faces import AttributeScorer
from ganvert.generators import Generator
from ganvert.inversion.contract import Context
from ganvert.inversion.run import make_context
from ganvert.scoring.code_metrics import NamedCodeMetric, code_metric
from ganvert.scoring.metrics import NamedMetric, available, metric
from ganvert.study.cells import Cell

__all__ = ["Finished", "Piece", "Row", "Section", "SectionOptions", "Subject", "Tools", "as_it_is", "number"]

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionOptions:
    """Options that all sections have.

    Attributes:
        photos: how many crops, the first ones; None for all.
        methods: those of the study that are measured; empty for all.
    """

    photos: int | None = None
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.photos is not None and self.photos < 1:
            raise ParamsError(f"photos: wanted 1 or more, or null for all, got {self.photos}")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A crop with its code.

    Attributes:
        image_id: of the photograph's crop, also where `crop` is that one transformed.
        cell: the method and seed.
        variant: of the crop, see :attr:`Section.crops`.
        crop: what was inverted.
        reconstruction: what the code draws.
        code: with the generator that draws it.
        seconds: core-seconds of the inversion; None where they are not known.
        partner: another photograph with its code by the same method, in sections that compare two
            (:attr:`Section.pairs`); None where there is none, or the method has no code of it.
    """

    image_id: str
    cell: Cell
    variant: str
    crop: Image.Image
    reconstruction: Image.Image
    code: Code
    seconds: float | None
    partner: Subject | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a section measures of a subject.

    Attributes:
        rows: `variant`, `amount`, `metric`, `value`, `status` of :data:`ganvert.tables.STUDY_SCORES`.
        pictures: (variant, amount) to a picture for the page.
        features: (variant, amount) to the features of VGG16 [512] of a picture, of which :attr:`Section.finish` makes
            numbers of all photographs together.
    """

    rows: Sequence[Row]
    pictures: Mapping[tuple[str, float], Image.Image]
    features: Mapping[tuple[str, float], Tensor] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Finished:
    """Pieces of a section with their keys.

    Attributes:
        scores: rows of :data:`ganvert.tables.STUDY_SCORES`.
        pictures: rows of :data:`ganvert.tables.STUDY_PICTURES`.
        features: the key of a picture and its `features`, a list of 512 numbers.
    """

    scores: list[Row]
    pictures: list[Row]
    features: list[Row]

    def add(self, other: Finished) -> None:
        """Append all rows of another."""
        self.scores.extend(other.scores)
        self.pictures.extend(other.pictures)
        self.features.extend(other.features)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Tools:
    """What sections measure with; everything is loaded when it is first asked for.

    Attributes:
        generator: on its device.
        assets: folder of the models.
        metrics: full names, of reconstructions.
        code_metrics: full names, of codes alone.
        attributes: names of the attributes that are scored on edited faces.
        directions: (name, space) to direction.
    """

    generator: Generator
    assets: Path
    metrics: tuple[str, ...]
    code_metrics: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    directions: Mapping[tuple[str, str], Direction] = dataclasses.field(default_factory=dict)

    @cached_property
    def available(self) -> tuple[str, ...]:
        """The names of `metrics` without optional ones whose network is missing."""
        return available(self.metrics, self.assets)

    @cached_property
    def measures(self) -> list[NamedMetric]:
        """The metrics of reconstructions that are available."""
        return [metric(name, self.assets) for name in self.available]

    @cached_property
    def measures_of_codes(self) -> list[NamedCodeMetric]:
        """The metrics of codes alone."""
        return [code_metric(name, self.assets) for name in self.code_metrics]

    @cached_property
    def identities(self) -> list[NamedMetric]:
        """Metrics of identity for faces that may have moved."""
        names = [name for name in self.available if name.startswith("identity")]
        return [metric(name, self.assets, moved=True) for name in names]

    @cached_property
    def scorer(self) -> AttributeScorer | None:
        """Scores attributes of faces; None where there are none to score."""
        return AttributeScorer(self.assets, self.attributes) if self.attributes else None

    def context(self, cell: Cell) -> Context:
        """Return what a cell's method works with; that of the last cell is kept."""
        if self._last.get("name") != cell.name:
            invert = cell.invert
            assert invert is not None
            inputs = None if invert.inputs is None else Path(invert.inputs)
            encoders = [Path(path) for path in invert.encoders]
            made = make_context(cell.preset, self.generator, encoders, self.assets, inputs, 1, invert.speed)
            self._last.update(name=cell.name, context=made)
        context: Context = self._last["context"]
        return context

    @cached_property
    def _last(self) -> dict[str, Any]:
        return {}


def as_it_is(options: Any) -> Mapping[str, Callable[[Image.Image], Image.Image]]:
    """Return the one variant of sections that take crops as they are."""
    del options
    return {"": lambda crop: crop}


@dataclasses.dataclass(frozen=True)
class Section:
    """A registry entry.

    Attributes:
        title: what the page calls it.
        options: the dataclass of its options.
        measure: ``(subject, tools, options) -> piece``.
        crops: options to variant to a function of a crop: what is inverted in place of the photographs' crops.
        finish: ``(finished, tools, options) -> rows``: further rows of all pieces of the section, such as what is
            compared at equal change.
        directions: whether it moves codes along directions.
        seeds: whether it measures every seed of a method; otherwise the first one.
        pairs: whether it compares photographs with a partner (:func:`ganvert.study.run.partners`).
    """

    title: str
    options: type[SectionOptions]
    measure: Callable[[Subject, Tools, Any], Piece]
    crops: Callable[[Any], Mapping[str, Callable[[Image.Image], Image.Image]]] = as_it_is
    finish: Callable[[Finished, Tools, Any], list[Row]] = lambda finished, tools, options: []
    directions: bool = False
    seeds: bool = False
    pairs: bool = False


def number(variant: str, amount: float, name: str, value: float | None, status: str = "ok", reason: str = "") -> Row:
    """Return a row of one number; None is one that could not be measured, as `status` and `reason` say."""
    if value is None and status == "ok":
        status = "not_measured"
    return {"variant": variant, "amount": amount, "metric": name, "value": value, "status": status, "reason": reason}

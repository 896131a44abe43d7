"""Metrics of a code alone: what it has cost beside its own picture. One number a code, without a target.

The full name ends in the number of samples: ``frechet_vgg16_64``. A new one is one file and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvert.base.errors import UnknownNameError
from ganvert.base.registry import lookup
from ganvert.codes import Code
from ganvert.generators.base import Generator
from ganvert.sampling.draw import draw
from ganvert.scoring.frechet import VGG16_PX, frechet_distance, vgg16_features

__all__ = ["CODE_METRICS", "CodeMetric", "NamedCodeMetric", "code_metric", "features_of_samples"]


@dataclass(frozen=True)
class CodeMetric:
    """A registry entry.

    Attributes:
        load: returns the measure of a code, given the number of samples and the asset folder.
        higher_is_better: whether a larger value is a better one.
        least: the smallest number of samples.
    """

    load: Callable[[int, Path | None], Callable[[Code], float]]
    higher_is_better: bool
    least: int = 2


@dataclass(frozen=True)
class NamedCodeMetric:
    """A metric of a code under its full name, ready to measure.

    Attributes:
        name: such as ``frechet_vgg16_64``.
        samples: how many are drawn.
        higher_is_better: see :class:`CodeMetric`.
        measure: the function behind it.
    """

    name: str
    samples: int
    higher_is_better: bool
    measure: Callable[[Code], float]

    def __call__(self, code: Code) -> float:
        """Measure a code."""
        return self.measure(code)


class Drift:
    """How far samples of a tuned generator are from those of the untuned one; exactly 0 for untuned codes.

    Sample k is seed k of both generators, without truncation: what the choice of samples adds is nearly the same on
    both sides. Samples of the untuned generator are drawn once.
    """

    def __init__(self, samples: int, folder: Path | None) -> None:
        self._samples, self._folder = samples, folder
        self._old: tuple[Generator, Tensor] | None = None

    def __call__(self, code: Code) -> float:
        generator = code.space.generator
        if generator.untuned is None:
            return 0.0
        if self._old is None or self._old[0] is not generator.untuned:
            old = generator.untuned
            self._old = old, features_of_samples(old, range(self._samples), self._folder)
        new = features_of_samples(generator, range(self._samples), self._folder)
        return frechet_distance(new, self._old[1])


def features_of_samples(generator: Generator, seeds: Sequence[int], folder: Path | None = None) -> Tensor:
    """Return VGG16's features of the pictures of seeds (:func:`ganvert.scoring.frechet.vgg16_features`), [N, 512].

    Raises:
        UnsupportedError: the generator is conditional and has no class of its own.
        AssetError: VGG16's weights are missing.
    """
    px = min(VGG16_PX, generator.resolution)
    pictures = (picture for _, picture in draw(generator, seeds, px, batch=1))
    return torch.cat([vgg16_features(picture[None], folder) for picture in pictures])


CODE_METRICS: dict[str, CodeMetric] = {
    "frechet_vgg16": CodeMetric(Drift, higher_is_better=False),
}


def code_metric(name: str, folder: Path | None = None) -> NamedCodeMetric:
    """Return the metric of a full name, ``<entry of CODE_METRICS>_<samples>``.

    Args:
        name: such as ``frechet_vgg16_64``.
        folder: of the assets; None for the default one.

    Raises:
        UnknownNameError: no such entry, no number of samples, or one that is too small.
    """
    base, _, tail = name.rpartition("_")
    base, samples = (base, int(tail)) if base and tail.isdecimal() else (name, 0)
    entry = lookup(CODE_METRICS, base, "metric of codes")
    if samples < entry.least:
        raise UnknownNameError(f"unknown metric {name!r}; write {base}_64 (or another number from {entry.least} on)")
    return NamedCodeMetric(name, samples, entry.higher_is_better, entry.load(samples, folder))

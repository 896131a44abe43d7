"""Score reconstructions and edits: rows of the tables, and their means by method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ganvert.faces import AttributeScorer
from ganvert.images import as_drawn, from_pil
from ganvert.scoring.metrics import NamedMetric, metric
from ganvert.scoring.statistics import summarise

__all__ = ["asset_metrics", "score_edits", "score_reconstructions", "summary"]


def score_reconstructions(
    keys: Sequence[dict[str, Any]],
    pictures: Sequence[Image.Image],
    targets: Sequence[Image.Image],
    metrics: Sequence[NamedMetric],
    channels: int = 3,
) -> list[dict[str, Any]]:
    """Return rows of `scores`: every metric of every pair of pictures.

    Args:
        keys: the other columns, one mapping per pair.
        pictures: what a generator drew.
        targets: the crops, of any size; resized, and made grey for one channel, as the generator could draw them.
        metrics: see :func:`asset_metrics`.
        channels: of the generator, 1 or 3.
    """
    rows: list[dict[str, Any]] = []
    for key, picture, target in zip(keys, pictures, targets, strict=True):
        # The crop is resized to what the generator draws, not the reverse: details it cannot draw do not count.
        images, wanted = from_pil([picture]), as_drawn(from_pil([target]), channels, picture.width)
        for measure in metrics:
            rows += measure.rows([key], measure(images, wanted))
    return rows


def score_edits(
    key: dict[str, Any],
    picture: Image.Image,
    reconstruction: Image.Image,
    crop: Image.Image,
    identities: Sequence[NamedMetric],
    scorer: AttributeScorer | None,
    channels: int = 3,
) -> list[dict[str, Any]]:
    """Return the rows of one edited picture: identity compared with its reconstruction and photograph, attributes.

    Args:
        key: the columns that identify the edit.
        picture: what the generator draws from the edited code.
        reconstruction: the same from the unedited code.
        crop: of the photograph, of any size; resized and made grey as for :func:`score_reconstructions`.
        identities: metrics of identity, for pictures that may have moved; none for pictures of other things than faces.
        scorer: of attributes; without it theirs are left out.
        channels: of the generator, 1 or 3.
    """
    rows: list[dict[str, Any]] = []
    for identity in identities:
        images, photo = from_pil([picture]), as_drawn(from_pil([crop]), channels, picture.width)
        rows += identity.rows([key], identity(images, from_pil([reconstruction])))
        # To the reconstruction: what the edit changes. To the photograph: what edit and inversion change together.
        to_photo = identity.rows([key], identity(images, photo))
        rows += [{**row, "metric": identity.name.replace("identity", "identity_photo", 1)} for row in to_photo]
    for name, value in (scorer.score([picture])[0] if scorer is not None else {}).items():
        rows.append({**key, "metric": name, "value": value, "status": "ok" if value is not None else "not_detected"})
    return rows


def summary(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return method to metric to mean, 95 % bootstrap interval and count, for DVC metrics."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        # PSNR: a mean of decibels, which is not the decibels of the mean MSE.
        if row["value"] is not None:
            values.setdefault((row["method"], row["metric"]), []).append(row["value"])
    tree: dict[str, dict[str, dict[str, float]]] = {}
    for (method, name), numbers in values.items():
        stats = summarise(numbers)
        figures = {"mean": stats.mean, "low": stats.low, "high": stats.high, "n": stats.count}
        tree.setdefault(method, {})[name] = figures
    return tree


def asset_metrics(names: Sequence[str], folder: Path) -> list[NamedMetric]:
    """Return metrics by full name, all loaded before the first is used."""
    return [metric(name, folder) for name in names]

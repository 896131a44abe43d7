"""Measured pieces are found again by what decides them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.scoring.metrics import METRICS
from ganvert.study.pieces import PieceStore
from ganvert.study.sections import SECTIONS
from ganvert.study.sections.base import Piece, SectionOptions, Tools, number


def test_a_network_that_was_fetched_since_measures_what_is_there(
    tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    network = METRICS["identity_mobilefacenet"].optional
    assert network is not None
    measured = list[tuple[str, ...]]()

    def measure(subject: Any, tools: Tools, options: SectionOptions) -> Piece:
        measured.append(tools.available)
        return Piece([number("", 0.0, "mse_64", 0.5)], {})

    measure.__module__ = SECTIONS["reconstruction"].measure.__module__  # a part of the key
    section = dataclasses.replace(SECTIONS["reconstruction"], measure=measure)
    cell: Any = SimpleNamespace(job=SimpleNamespace(key="job"), method="w", seed=0)

    def study() -> None:
        tools = Tools(generator=tiny_generator, assets=tmp_path, metrics=("mse_64", "identity_mobilefacenet"))
        store = PieceStore(tmp_path / "pieces", "reconstruction", section, SectionOptions(), tools)
        store.get(cell, "image", ["image"], False, lambda: SimpleNamespace())  # type: ignore[arg-type,return-value]

    study()
    study()
    assert measured == [("mse_64",)]
    (tmp_path / network).write_bytes(b"weights")
    study()
    assert measured[1:] == [("mse_64", "identity_mobilefacenet")]

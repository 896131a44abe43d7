"""Reconstruction: how near a picture is to its photograph, and what it took (F/Z+ table 1, figures 2 and 9)."""

from __future__ import annotations

from ganvert.scoring.score import score_reconstructions
from ganvert.study.sections.base import Piece, SectionOptions, Subject, Tools, number

__all__ = ["measure_reconstruction"]


def measure_reconstruction(subject: Subject, tools: Tools, options: SectionOptions) -> Piece:
    """Return every metric of a reconstruction and of its code, and the core-seconds of the inversion."""
    del options
    channels = tools.generator.image_channels
    key = {"variant": subject.variant, "amount": 0.0}
    rows = score_reconstructions([key], [subject.reconstruction], [subject.crop], tools.measures, channels)
    rows += [number(subject.variant, 0.0, of.name, of(subject.code)) for of in tools.measures_of_codes]
    rows.append(number(subject.variant, 0.0, "core_seconds", subject.seconds))
    return Piece(rows, {(subject.variant, 0.0): subject.reconstruction})

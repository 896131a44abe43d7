"""Encoder files of other tools: one module per family of files.

The package may import `encoders` and what lies below.
"""

from __future__ import annotations

from ganvert.exchange.encoder_files import bdinvert, feature_style, psp
from ganvert.exchange.encoder_files.base import EncoderFile, ForeignEncoder, ReadOptions

__all__ = ["ENCODER_FILES", "EncoderFile", "ForeignEncoder", "ReadOptions"]

#: family -> its files; the first that matches a file's content reads it
ENCODER_FILES: dict[str, EncoderFile] = {
    "psp": EncoderFile(psp.matches, psp.read),
    "feature_style": EncoderFile(feature_style.matches, feature_style.read),
    "bdinvert": EncoderFile(bdinvert.matches, bdinvert.read),
}

"""The generator's own pictures: drawn by seed, kept as 8-bit files, scored by attribute.

The package may import `faces` and what lies below.
"""

from __future__ import annotations

from ganvert.sampling.draw import codes_of, generator_key, picture_of, w_of, ws_of
from ganvert.sampling.scores import SampleOptions, SampleSet, load_callable, read_score_table, sample, write_samples
from ganvert.sampling.store import PictureStore

__all__ = [
    "PictureStore",
    "SampleOptions",
    "SampleSet",
    "codes_of",
    "generator_key",
    "load_callable",
    "picture_of",
    "read_score_table",
    "sample",
    "w_of",
    "write_samples",
    "ws_of",
]

"""A file of the images of seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ganvert.base.files import open_memmap
from ganvert.compute.progress import progress
from ganvert.generators.base import Generator
from ganvert.images import from_bytes, to_pil
from ganvert.sampling.draw import draw, generator_key

__all__ = ["PictureStore"]


class PictureStore:
    """Images of seeds 0 .. count - 1 as uint8 [count, px, px, 3] in one file.

    A second file marks with one byte per seed which images are drawn, so that a killed run resumes where it stopped.
    """

    def __init__(
        self,
        generator: Generator,
        folder: Path,
        count: int,
        px: int,
        codes: Callable[[Sequence[int]], Tensor] | None = None,
    ) -> None:
        """Open or create the files in `folder`. Images of other `codes` than :func:`ws_of` need their own folder."""
        self.generator, self.px, self.codes = generator, px, codes
        stem = folder / f"{generator_key(generator)}-{px}-{count}"
        folder.mkdir(parents=True, exist_ok=True)
        # Eight bits, a quarter of float32's size: scorers and encoders see what an image file would hold.
        self._pictures = open_memmap(stem.with_suffix(".npy"), np.uint8, (count, px, px, 3))
        self._drawn = open_memmap(stem.with_suffix(".there.npy"), np.uint8, (count,))

    def fill(self, seeds: Sequence[int], batch: int = 4) -> None:
        """Draw the missing images of `seeds`, with a progress bar."""
        missing = [seed for seed in seeds if not self._drawn[seed]]
        drawn = draw(self.generator, missing, self.px, batch, self.codes)
        for seed, image in progress(drawn, len(missing), "drawing samples"):
            self._pictures[seed] = np.asarray(to_pil(image[None])[0])
            # After the pixels: an image that a killed run left half-written is not marked.
            self._drawn[seed] = 1

    def get(self, seeds: Sequence[int]) -> Tensor:
        """Return the images of seeds that are drawn, float32 [N, 3, px, px] in [-1, 1]."""
        return from_bytes(np.stack([self._pictures[seed] for seed in seeds]))

    def picture(self, seed: int) -> Image.Image:
        """Return one image as it is stored."""
        return Image.fromarray(np.asarray(self._pictures[seed]))

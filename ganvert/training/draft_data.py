"""What a draft network learns from: samples, and predictions of the encoder that is about to be trained."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.encoders import Encoder
from ganvert.images import area_resize
from ganvert.sampling import PictureStore
from ganvert.training.data import Data

__all__ = ["DraftData"]

#: Samples that the draft network learns from, at most.
_MOST_SAMPLES = 2900
#: Predictions lie this much nearer to or further from w_avg: training moves them both ways.
_NEARER, _FURTHER = 0.9, 1.35
_BATCH = 8


@dataclasses.dataclass
class DraftData:
    """Codes and the generator's images of them: samples first, then predictions for photographs.

    Attributes:
        data: of the training.
        encoder: as it starts.
        photos: number of predictions, at most all photographs that are trained on.
        work: folder where the images are kept.
    """

    data: Data
    encoder: Encoder
    photos: int
    work: Path

    def __post_init__(self) -> None:
        """Raises ParamsError where there is nothing to learn from, or predictions cannot be drawn."""
        self.samples = min(self.data.options.samples, _MOST_SAMPLES)
        self.photos = min(self.photos, len(self.data.photos.ids) if self.data.photos else 0)
        if not self.count:
            raise ParamsError(
                "picture: draft learns from samples that are kept, or from photographs: give data.samples"
            )
        if self.photos and "ws" not in self.encoder.parts:
            parts = ", ".join(sorted(self.encoder.parts))
            raise ParamsError(f"draft_photos: the encoder predicts {parts} and no rows to draw: draft_photos: 0")
        self.name = ""
        if self.photos and self.data.photos:
            facts = f"{self.encoder.fingerprint()} {self.data.photos.fingerprint()} {self.data.seed} {self.photos}"
            self.name = "-" + hashlib.sha256(facts.encode()).hexdigest()[:16]

    @property
    def count(self) -> int:
        """Number of codes."""
        return self.samples + self.photos

    def draw(self) -> None:
        """Compute the predictions, and draw what is not drawn yet."""
        predictions = self._predictions()
        self._ws = torch.cat([self.data.ws_of(range(self.samples)), predictions]) if self.samples else predictions
        self._stores = []
        if self.samples and self.data.store:
            self.data.store.fill(range(self.samples))
            self._stores.append((0, self.data.store))
        if self.photos:
            folder = self.work / f"predictions{self.name}"
            px = self.data.options.px
            store = PictureStore(self.data.generator, folder, self.photos, px, lambda seeds: predictions[list(seeds)])
            store.fill(range(self.photos))
            self._stores.append((self.samples, store))

    def ws_of(self, places: Sequence[int]) -> Tensor:
        """Return the ws [N, num_ws, w_dim] at `places`, 0 to count - 1."""
        return self._ws[list(places)]

    def pictures_of(self, places: Sequence[int]) -> Tensor:
        """Return the images at `places`, [N, 3, px, px] in [-1, 1]."""
        images = []
        for place in places:
            first, store = next(pair for pair in reversed(self._stores) if place >= pair[0])
            images.append(store.get([place - first]))
        return torch.cat(images)

    @torch.no_grad()
    def _predictions(self) -> Tensor:
        """Return the predictions for the first photographs, every second one mirrored, [photos, num_ws, w_dim]."""
        parts = [self.encoder.w_avg.new_empty(0, self.encoder.num_ws, self.encoder.w_dim)]
        for start in range(0, self.photos, _BATCH):
            places = range(start, min(start + _BATCH, self.photos))
            assert self.data.photos is not None
            images = self.data.photos.get(places)
            images[1::2] = images[1::2].flip(3)
            rows = self.encoder.encode(area_resize(images, self.encoder.input_px).to(self.encoder.w_avg.device))["ws"]
            draws = [torch.Generator().manual_seed(item_seed("draft", self.data.seed, place)) for place in places]
            factors = [_NEARER + (_FURTHER - _NEARER) * float(torch.rand((), generator=draw)) for draw in draws]
            parts.append(self.encoder.w_avg + rows.new_tensor(factors)[:, None, None] * (rows - self.encoder.w_avg))
        return torch.cat(parts)

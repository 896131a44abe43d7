"""A feature map that starts from the generator's own at the predicted rows."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ganvert.encoders.heads.base import Prediction, Reads
from ganvert.encoders.heads.feature import FeatureHead
from ganvert.encoders.heads.taps import resized
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.feature import point_of_size

__all__ = ["RefinedHead"]


class RefinedHead(FeatureHead):
    """Keeps a share of the generator's own feature g(w), each channel and position for itself, and adds what is new.

    The feature is ``(1 - gate) * g(w) + new``, both read from a hidden layer that sees every map, the small picture and
    g(w). `gate` and `new` start at zero: an untrained head draws what the rows alone draw.
    """

    reads: ClassVar[Reads] = "pictures"
    sees_rows: ClassVar[bool] = True

    def __init__(self, generator: Generator, taps: dict[int, int], *, size: int = 16, width: int = 192) -> None:
        """Build it for a feature of `size` px (:func:`ganvert.spaces.feature.point_of_size`); `width`: hidden channels.

        Raises:
            UnsupportedError: the generator has no feature of that size.
        """
        super().__init__(generator, taps, size=size, width=width)
        self._generator = [generator]  # in a list, and so out of the module tree
        self.point = point_of_size(generator, size)
        channels = self.point.shape[0]
        others = {side: c for side, c in taps.items() if side != self.side}
        # Larger ones are read in blocks, which loses nothing of the small picture.
        strides = {side: max(1, side // size) for side in others}
        self.beside = nn.ModuleDict(
            {str(side): nn.Conv2d(c, width, strides[side], strides[side], bias=False) for side, c in others.items()}
        )
        self.own = nn.Conv2d(channels, width, 1, bias=False)
        self.gate = nn.Conv2d(width, channels, 1)
        for layer in (*self.beside.values(), self.own, self.gate, self.layers[-1]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, taps: dict[int, Tensor], ws: Tensor | None = None) -> Prediction:
        """Correct the generator's own feature at ws [N, num_ws, w_dim]; without rows those of w_avg."""
        generator, name = self._generator[0], self.point.name
        if ws is None:
            ws = generator.w_avg.expand(len(taps[self.side]), self.num_ws, -1)
        with torch.autocast(ws.device.type, enabled=False):
            own = generator.features(SynthesisInput(ws=ws.float()), [name])[name]
        first, *inner, last = self.layers
        x = first(resized(taps[self.side], self.size))
        for side, layer in self.beside.items():
            x = x + resized(layer(taps[int(side)]), self.size)
        # Divided by its RMS: activations of a generator have no fixed scale.
        x = x + self.own(own / own.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())
        for layer in inner:
            x = layer(x)
        return {f"f{self.size}": own - self.gate(x) * own + last(x)}

"""PadInv's padding head (Bai et al. 2022, arXiv 2203.11105, Table S1: padding extracting convolutions)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.units import IRUnit
from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.taps import nearest, resized
from ganvert.generators.base import Generator
from ganvert.spaces import make_space
from ganvert.spaces.pad import LARGEST, Pad, ring_of

__all__ = ["PaddingHead"]


def _centre(x: Tensor, size: int) -> Tensor:
    """Return the middle [..., size, size] of maps."""
    before = (x.shape[-1] - size) // 2
    # An even number is cut off: 32 to 4 px, and 34 to 34, 18, 10 and 6 px.
    return x[..., before : before + size, before : before + size]


class PaddingHead(Head):
    """One map for everything: its middle is the learned input, and each padded convolution has a projection of it.

    The map is enlarged by two pixels before it is projected, one for either border of the finest padding (32 to 34 px);
    coarser paddings are crops from the middle. Training starts at the generator's own input and zero padding, which is
    our choice: projections start at zero, and the middle of the map is added to the own input with a gain per channel
    that starts at zero. PadInv uses the middle of the enlarged map as the input (``input_from: enlarged``).

    Attributes:
        own: the generator's learned input; a constant, and so not saved in weights files.
    """

    own: Tensor  # [1, c, h, w]

    def __init__(
        self,
        generator: Generator,
        taps: dict[int, int],
        *,
        units: int = 2,
        width: int = 0,
        input_from: Literal["map", "enlarged"] = "map",
    ) -> None:
        """Build it with `units` residual units after the tap and a map of `width` channels, 0 for the input's.

        `input_from` chooses whether the learned input is cropped from the map before or after it is enlarged.

        Raises:
            ParamsError: `input_from` is neither.
            UnsupportedError: the generator has no padding or no learned input.
        """
        super().__init__(generator, taps)
        if input_from not in ("map", "enlarged"):
            raise ParamsError(f"head padding: wanted input_from: map or enlarged, got {input_from!r}")
        self.input_from = input_from
        space = make_space("pad/wplus", generator)
        assert isinstance(space, Pad)
        self.convs = space.convs
        self.size = max(conv.resolution for conv in self.convs)
        self.side = nearest(taps, LARGEST)
        channels, self.middle, _ = space.point.shape
        width = width or channels
        self.units = nn.Sequential(*(IRUnit(width if i else taps[self.side], width, 1) for i in range(units)))
        width = width if units else taps[self.side]
        self.project = nn.Identity() if width == channels else nn.Conv2d(width, channels, 1)
        self.gain = nn.Parameter(torch.zeros(channels, 1, 1))
        self.extract = nn.ModuleList(nn.Conv2d(width, conv.channels, 1) for conv in self.convs)
        for layer in self.extract:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        mean = generator.w_avg.expand(1, generator.num_ws, -1)
        self.register_buffer("own", space.from_ws(mean)["const"].detach().clone(), persistent=False)

    @property
    def parts(self) -> tuple[str, ...]:
        return ("const", *(f"pad.{conv.name}" for conv in self.convs))

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        whole = resized(self.units(taps[self.side]), self.size)
        # As in the release: bicubic, with aligned corners, so that the outermost pixels remain outermost.
        wide = F.interpolate(whole, size=(self.size + 2,) * 2, mode="bicubic", align_corners=True)
        middle = _centre(wide if self.input_from == "enlarged" else whole, self.middle)
        prediction = {"const": self.own + self.gain * self.project(middle)}
        for conv, layer in zip(self.convs, self.extract, strict=True):
            # The convolution is 1x1: cropping before it gives the same as cropping after it, and is cheaper. Only the
            # ring is kept, because the generator overwrites the inside with its own activation.
            prediction[f"pad.{conv.name}"] = ring_of(layer(_centre(wide, conv.resolution + 2)))
        return prediction

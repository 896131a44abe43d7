"""HFGI's head (Wang et al. 2022, arXiv 2109.06590): a modulation that brings back what the rows do not draw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.units import IRUnit
from ganvert.encoders.heads.base import Head, Prediction, Reads
from ganvert.encoders.heads.taps import resized
from ganvert.faces.paste import homography
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize, as_rgb
from ganvert.spaces.feature import point_of_size

__all__ = ["Aligner", "ConsultationHead", "Reader", "warped"]

#: How many distortions of a training are misaligned: of the release's train.sh.
MISALIGNED = 0.9


def _stem(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.PReLU(c_out))


def _units(*widths: int, stride: int = 1) -> nn.Sequential:
    """Return a unit from each width to the next, without squeeze-excitation; the first has the stride."""
    return nn.Sequential(
        *(IRUnit(c_in, c_out, 1 if i else stride, squeeze=False) for i, (c_in, c_out) in enumerate(pairwise(widths)))
    )


class Aligner(nn.Module):
    """The adaptive distortion alignment (ADA): moves a distortion to where a picture has the parts that it belongs to.

    A U-Net of three halvings over both pictures, [N, 6, px, px] to [N, 3, px, px]; px a multiple of 8.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        """Build it with the four widths at full size, 1/2, 1/4 and 1/8 (16, 32, 48 and 64 in the release)."""
        super().__init__()
        full, half, quarter, eighth = widths
        self.stem = _stem(6, full)
        self.down = nn.ModuleList(
            _units(before, c, c, c, stride=2) for before, c in ((full, half), (half, quarter), (quarter, eighth))
        )
        self.up = nn.ModuleList(
            [
                _units(eighth + quarter, eighth, half, half),
                _units(half + half, half, full, full),
                _units(full + full, full, 3, 3),
            ]
        )

    def start_at_zero(self) -> None:
        """Make it return zeros: the last two units, of three channels, end in BN on every way but the sum's."""
        for name, norm in self.up[-1][1:].named_modules():  # type: ignore[index]
            if name.endswith(("branch.4", "around.1")):
                nn.init.zeros_(norm.weight)  # type: ignore[arg-type]

    def forward(self, distortion: Tensor, picture: Tensor) -> Tensor:
        """Return the distortion [N, 3, px, px] as it belongs on the picture [N, 3, px, px]."""
        levels = [self.stem(torch.cat([distortion, picture], dim=1))]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in self.up:
            beside = levels.pop()
            x = up(torch.cat([resized(x, beside.shape[-1]), beside], dim=1))
        return x


class _EqualConv(nn.Conv2d):
    """A 3x3 convolution with equalised learning rate (:class:`ganvert.networks.mapping.Dense`)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.gain = (9 * c_in) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.gain, self.bias)


class Reader(nn.Module):
    """The consultation encoder: a distortion [N, 3, px, px] to a scale and a shift, [N, c, px / 4, px / 4] each.

    Both start at zero, which is our choice.
    """

    def __init__(self, widths: Sequence[int], width: int, channels: int) -> None:
        """Build it with the three widths at full size, 1/2 and 1/4, and `width` hidden channels before either map."""
        super().__init__()
        full, half, quarter = widths
        self.trunk = nn.Sequential(
            _stem(3, full),
            _units(full, half, half, half, stride=2),
            _units(half, quarter, quarter, quarter, stride=2),
        )
        self.scale, self.shift = (
            nn.ModuleList([_EqualConv(quarter, width), _EqualConv(width, channels)]) for _ in range(2)
        )
        for last in (self.scale[1], self.shift[1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]

    def forward(self, distortion: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(distortion)
        scale, shift = (
            # The gain sqrt(2) keeps the variance: "scaled" leaky ReLU.
            last(F.leaky_relu(first(x), 0.2) * 2**0.5)
            for first, last in (self.scale, self.shift)
        )
        return scale, shift


def warped(pictures: Tensor, strength: float) -> Tensor:
    """Pull the corners of some pictures inwards, :data:`MISALIGNED` of them; zeros lie outside.

    Args:
        pictures: [N, c, h, h].
        strength: how far a corner may move along either side, in parts of half of it. The random numbers are those of
            PyTorch's global generator on the CPU, as of dropout.

    Returns:
        [N, c, h, h].
    """
    chosen = torch.rand(len(pictures)) < MISALIGNED
    moves = torch.rand(len(pictures), 4, 2).double().numpy() * strength
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])  # TL, BL, BR, TR
    # grid_sample asks where each pixel comes from: from the inner quadrilateral back to the whole square.
    matrices = np.stack([homography(corners * (1 - move)) for move in moves])
    centres = (torch.arange(pictures.shape[-1]) + 0.5) * (2 / pictures.shape[-1]) - 1
    y, x = torch.meshgrid(centres.double(), centres.double(), indexing="ij")
    points = torch.from_numpy(matrices) @ torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel()).double()])
    grid = (2 * points[:, :2] / points[:, 2:] - 1).mT.unflatten(1, x.shape).to(pictures)
    moved = F.grid_sample(pictures, grid, align_corners=False)
    return torch.where(chosen[:, None, None, None].to(pictures.device), moved, pictures)


class ConsultationHead(Head):
    """A scale and a shift of one feature map, read from the distortion: the image less what the rows draw.

    The distortion goes through the :class:`Aligner` and then the :class:`Reader`. In training it is misaligned at
    random, so that the aligner learns to bring it back to where the rows draw its parts; an edit then has it brought
    to the edited picture (:meth:`consult`). No gradient flows to the rows.

    In training it also predicts ``alignment``, the aligned distortion less the true one, for the penalty of this name.
    """

    trained_by: ClassVar[tuple[str, ...]] = ("alignment",)
    reads: ClassVar[Reads] = "image"
    sees_rows: ClassVar[bool] = True

    def __init__(
        self,
        generator: Generator,
        taps: dict[int, int],
        *,
        size: int = 64,
        width: int = 512,
        widths: Sequence[Sequence[int]] = ((32, 48, 64), (16, 32, 48, 64)),
        misalign: float = 0.15,
        residual: bool = False,
    ) -> None:
        """Build it for a feature of `size` px (:func:`ganvert.spaces.feature.point_of_size`).

        Args:
            generator: see :class:`Head`. It draws what the rows are compared by.
            taps: the image, of a side [px] that 8 divides.
            size: of the feature.
            width: hidden channels before either map of the modulation.
            widths: those of the reader and of the aligner. The defaults are the release's.
            misalign: largest misalignment of the distortion in training (:func:`warped`).
            residual: whether the aligner adds to the distortion, from nothing on; ours, for short trainings.

        Raises:
            ParamsError: other numbers of widths, or a side that 8 does not divide.
            UnsupportedError: the generator has no feature of that size.
        """
        super().__init__(generator, taps)
        (self.px,) = taps
        if [len(part) for part in widths] != [3, 4] or min(*widths[0], *widths[1], width) < 1:
            raise ParamsError(f"widths: wanted three positive ones and four, got {widths}")
        if self.px % 8 or not 0 <= misalign < 1:
            raise ParamsError(
                f"head consultation: wanted a side that 8 divides and misalign from 0 to below 1, got {self.px} and "
                f"{misalign}"
            )
        self._generator = [generator]  # in a list, and so out of the module tree
        self.size, self.misalign, self.residual = size, misalign, residual
        self.aligner = Aligner(widths[1])
        self.reader = Reader(widths[0], width, point_of_size(generator, size).shape[0])
        if residual:
            self.aligner.start_at_zero()

    @property
    def parts(self) -> tuple[str, ...]:
        return ("scale", "shift")

    def forward(self, taps: dict[int, Tensor], ws: Tensor | None = None) -> Prediction:
        """Read the image beside what ws [N, num_ws, w_dim] draw; without rows those of w_avg."""
        image, generator = taps[self.px], self._generator[0]
        if ws is None:
            ws = generator.w_avg.expand(len(image), self.num_ws, -1)
        with torch.no_grad(), torch.autocast(ws.device.type, enabled=False):
            drawn = self._small(generator.synthesize(SynthesisInput(ws=ws.float()), px=self.px))
        distortion = image - drawn
        seen = warped(distortion, self.misalign) if self.training and self.misalign else distortion
        aligned = self._aligned(seen, drawn)
        modulation = self._modulation(aligned)
        return {**modulation, "alignment": aligned - distortion} if self.training else modulation

    def consult(self, image: Tensor, drawn: Tensor, edited: Tensor) -> Prediction:
        """Return the modulation for an edited picture: what the rows lack, brought to where the edit has it.

        Args:
            image: the photograph, [N, 3, h, h] in [-1, 1].
            drawn: what its rows draw, of `px` or more.
            edited: what the edited rows draw, likewise.
        """
        distortion = area_resize(image, self.px) - self._small(drawn)
        return self._modulation(self._aligned(distortion, self._small(edited)))

    def _small(self, drawn: Tensor) -> Tensor:
        # Clamped: what a generator draws beyond white is not missing in the picture.
        return area_resize(as_rgb(drawn).clamp(-1, 1), self.px)

    def _aligned(self, distortion: Tensor, picture: Tensor) -> Tensor:
        aligned = self.aligner(distortion, picture)
        return distortion + aligned if self.residual else aligned

    def _modulation(self, distortion: Tensor) -> Prediction:
        scale, shift = self.reader(distortion)
        return {"scale": resized(scale, self.size), "shift": resized(shift, self.size)}

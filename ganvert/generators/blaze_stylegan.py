"""BlazeStyleGAN (Jia et al. 2023), the generators of stylised faces that `ganvert fetch --also stylizer` installs.

A small StyleGAN2 for telephones: modulated depthwise convolutions followed by 1x1 ones, demodulation folded into the
weights, nearest-neighbour upsampling, and one toRGB at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput, Taps
from ganvert.networks.fit import fitted
from ganvert.networks.mapping import SLOPE, normalise
from ganvert.networks.modulation import modulated_pointwise, scaled
from ganvert.networks.padding import insert_into

__all__ = ["BlazeStyleGAN"]


class Separable(nn.Module):
    """Modulated depthwise 3x3, 1x1, bias, leaky ReLU."""

    def __init__(self, w_dim: int, c_in: int, c_out: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, c_in)
        self.depthwise = nn.Parameter(torch.zeros(c_in, 1, 3, 3))
        self.pointwise = nn.Parameter(torch.zeros(c_out, c_in))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.scale = 1 / math.sqrt(9 * c_in)  # equalised learning rate

    def forward(self, x: Tensor, style: Tensor, padding: Tensor | None) -> Tensor:
        if padding is not None:  # not modulated, so that the style has to act before it is inserted
            x, style = insert_into(padding, scaled(x, style)), torch.ones_like(style)
        x = F.conv2d(x, self.depthwise, padding=int(padding is None), groups=len(self.depthwise))
        # A depthwise convolution does not mix channels: their factors act on the small weights behind it.
        return F.leaky_relu(modulated_pointwise(x, self.pointwise, self.bias, style * self.scale), SLOPE)


class Up(nn.Module):
    """Twice the size by nearest neighbours, depthwise 3x3, leaky ReLU, 1x1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.pointwise(F.leaky_relu(self.depthwise(x), SLOPE))


class Block(nn.Module):
    """One resolution above 4 px: upsampling and two modulated convolutions."""

    def __init__(self, w_dim: int, c_in: int, narrow: int, c_out: int) -> None:
        super().__init__()
        self.up = Up(c_in, narrow)
        self.conv0 = Separable(w_dim, narrow, c_out)
        self.conv1 = Separable(w_dim, c_out, c_out)


class ToRGB(nn.Module):
    """Upsampling, a 3x3 convolution, and a modulated 1x1 convolution to colours in [-1, 1]."""

    def __init__(self, w_dim: int, c_in: int, width: int) -> None:
        super().__init__()
        self.up = Up(c_in, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.affine = nn.Linear(w_dim, width)
        self.weight = nn.Parameter(torch.zeros(3, width))
        self.bias = nn.Parameter(torch.zeros(3))
        self.scale = 1 / math.sqrt(width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv(F.leaky_relu(self.up(x), SLOPE)), SLOPE)
        return modulated_pointwise(x, self.weight, self.bias, style * self.scale).tanh()


class BlazeStyleGAN(Generator):
    """The network; row i of ws drives convolution i, the last one toRGB.

    The published files have no mapping network: their ws come from the encoder beside them. Here z, on its sphere of
    radius sqrt(w_dim), is the offset from ``w_avg`` in units of ``spread``, the deviation of the encoder's offsets:
    enough for starts and directions, but samples are not those of the network's training.

    Its layers add noise of strengths below 0.03, drawn anew for each picture. It is left out: there are no stored maps.
    """

    architecture = "blaze_stylegan"
    spread: Tensor  # []

    def __init__(self, channels: Sequence[int], narrow: Sequence[int], w_dim: int) -> None:
        """Build the network.

        Args:
            channels: of every resolution, 4 px first; pictures have twice the last one's side.
            narrow: channels behind each upsampling, that of toRGB last.
            w_dim: width of w.
        """
        super().__init__()
        self.channels = tuple(channels)
        self.z_dim = self.w_dim = w_dim
        self.resolution = 8 * 2 ** (len(channels) - 1)
        self.num_ws = 2 * len(channels)
        self.const = nn.Parameter(torch.zeros(1, channels[0], 4, 4))
        self.first = Separable(w_dim, channels[0], channels[0])
        self.blocks = nn.ModuleList(
            Block(w_dim, before, middle, after)
            for before, middle, after in zip(channels[:-1], narrow[:-1], channels[1:], strict=True)
        )
        self.to_rgb = ToRGB(w_dim, channels[-1], narrow[-1])
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("spread", torch.ones(()))

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> BlazeStyleGAN:
        """Build a network with the sizes of a state dict, without loading its values.

        Raises:
            CheckpointError: the tensors are not those of a BlazeStyleGAN.
        """
        del config  # the tensors show everything

        def make() -> BlazeStyleGAN:
            blocks = [
                f"blocks.{i}" for i in range(len({name.split(".")[1] for name in state if name[:7] == "blocks."}))
            ]
            channels = [len(state["first.bias"]), *(len(state[f"{block}.conv1.bias"]) for block in blocks)]
            narrow = [len(state[f"{part}.up.pointwise.bias"]) for part in (*blocks, "to_rgb")]
            return cls(channels, narrow, len(state["w_avg"]))

        return fitted(make, state, "BlazeStyleGAN")

    @property
    def _convs(self) -> list[tuple[str, int, Separable]]:
        """Names, sides and layers of the modulated 3x3 convolutions; convolution i reads row i of ws."""
        convs = [("b4.conv1", 4, self.first)]
        for i, block in enumerate(cast("Sequence[Block]", self.blocks)):
            side = 8 * 2**i
            convs += [(f"b{side}.conv0", side, block.conv0), (f"b{side}.conv1", side, block.conv1)]
        return convs

    @property
    def style_layout(self) -> tuple[StyleSlot, ...]:
        slots = (StyleSlot(name, len(c.depthwise), i, side) for i, (name, side, c) in enumerate(self._convs))
        colours = StyleSlot("to_rgb", self.to_rgb.affine.out_features, self.num_ws - 1, self.resolution, to_rgb=True)
        return (*slots, colours)

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        points = (FeaturePoint(name, (len(c.bias), side, side), i + 1) for i, (name, side, c) in enumerate(self._convs))
        return (FeaturePoint("const", (self.channels[0], 4, 4), 0), *points)

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        return ()

    @property
    def paddable(self) -> tuple[PaddableConv, ...]:
        return tuple(PaddableConv(name, len(c.depthwise), side) for name, side, c in self._convs)

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        del labels  # always None: the network has no classes
        return self.w_avg + self.spread * normalise(z)

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        affines = [*(conv.affine for _, _, conv in self._convs), self.to_rgb.affine]
        return {slot.name: affine(ws[:, slot.row]) for slot, affine in zip(self.style_layout, affines, strict=True)}

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        del px  # saves nothing: colours are made at the end
        self.check(synthesis_input)
        styles = self.resolve_styles(synthesis_input)
        padding = synthesis_input.padding or {}
        taps = Taps([point.name for point in self.feature_points], synthesis_input, read, stop)
        x = self.const.expand(synthesis_input.count, -1, -1, -1)
        if taps.start <= 0:
            x = taps.at("const", taps.injected if taps.start == 0 else x)
        for i, (name, _, conv) in enumerate(self._convs):
            if i + 1 < taps.start or i + 1 > taps.end:
                continue
            if i + 1 == taps.start:
                x = taps.at(name, taps.injected)
                continue
            if name.endswith("conv0"):
                x = cast(Block, self.blocks[i // 2]).up(x)
            x = taps.at(name, conv(x, styles[name], padding.get(name)))
        if stop:
            return x.new_empty(synthesis_input.count, self.image_channels, 0, 0), taps.activations
        return self.to_rgb(x, styles["to_rgb"]), taps.activations

"""StyleGAN1 (Karras et al. 2019, arXiv 1812.04948): styles act by adaptive instance normalisation.

The official code doubles the resolution in two ways: nearest upsampling and a convolution, or one transposed
convolution (``fused_scale``). The second equals the first with the kernel flipped, so the checkpoint readers flip it,
and one network serves both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError
from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput, Taps
from ganvert.networks.fit import fitted
from ganvert.networks.mapping import Dense, MappingNetwork
from ganvert.networks.padding import insert_into

__all__ = ["StyleGAN1"]

SLOPE = 0.2
EPSILON = 1e-8  # of the instance normalisation, added to the variance
LARGEST = 4096  # px; official networks end at 1024


def upsample_conv(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the resolution by nearest upsampling, then correlate with a 3x3 kernel and zero padding.

    A 3x3 window of the doubled image covers only 2 x 2 different pixels, in a way that depends on the parity of its
    row and column. Four 2x2 convolutions of the small image therefore do, with 16 products per pixel and pair of
    channels instead of 36.

    Args:
        x: [N, I, h, w].
        kernel: [O, I, 3, 3].

    Returns:
        [N, O, 2h, 2w].
    """
    h, w = x.shape[2:]
    # fold[parity, tap of 2, tap of 3]: a window at an even place has one row of its first pixel and two of its second,
    # a window at an odd place two and one.
    fold = x.new_tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
    kernels = torch.einsum("pak,qbl,oikl->pqoiab", fold, fold, kernel)
    wide = F.pad(x, (1, 1, 1, 1))
    parts = [F.conv2d(wide[:, :, p : p + h + 1, q : q + w + 1], kernels[p, q]) for p in (0, 1) for q in (0, 1)]
    # pixel_shuffle interleaves four neighbouring channels, hence the phases next to each output channel.
    return F.pixel_shuffle(torch.stack(parts, dim=2).flatten(1, 2), 2)


def blur(x: Tensor) -> Tensor:
    """Filter [N, C, h, w] with [1, 2, 1] / 4 along both axes, with zero padding; the shape stays."""
    channels = x.shape[1]
    taps = x.new_tensor([0.25, 0.5, 0.25]).expand(channels, 1, 3)
    x = F.conv2d(x, taps[:, :, None, :], padding=(0, 1), groups=channels)
    return F.conv2d(x, taps[:, :, :, None], padding=(1, 0), groups=channels)


def stylise(x: Tensor, style: Tensor) -> Tensor:
    """Apply adaptive instance normalisation (section 2, eq. 1) to x [N, C, h, w] with style [N, 2C].

    The first half of the style is the scale minus one, the second half the shift.
    """
    scale, shift = style.to(x.dtype)[:, :, None, None].chunk(2, dim=1)
    return torch.addcmul(shift, F.instance_norm(x, eps=EPSILON), scale + 1)


class Layer(nn.Module):
    """Constant or 3x3 convolution, noise, bias and leaky ReLU, with the affine layer of the style that follows."""

    const: nn.Parameter  # [C, 4, 4], of the first layer
    weight: nn.Parameter  # [C, c_in, 3, 3], of the others
    noise_weight: nn.Parameter | None  # [C]
    noise_const: Tensor | None  # [r, r]

    def __init__(
        self, index: int, c_in: int, channels: int, w_dim: int, *, noise_weight: bool, noise_const: bool
    ) -> None:
        super().__init__()
        self.index, self.channels, self.c_in = index, channels, c_in
        self.resolution = 4 * 2 ** (index // 2)
        if index == 0:
            self.const = nn.Parameter(torch.zeros(channels, 4, 4))
        else:
            self.weight = nn.Parameter(torch.zeros(channels, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_parameter("noise_weight", nn.Parameter(torch.zeros(channels)) if noise_weight else None)
        stored = torch.zeros(self.resolution, self.resolution) if noise_const else None
        self.register_buffer("noise_const", stored)
        self.style = Dense(w_dim, 2 * channels)
        # Equalised learning rate with He's gain: sqrt(2) / sqrt(fan_in). The sqrt(2) makes up for the leaky ReLU; in
        # StyleGAN1 it scales the weights (in StyleGAN2 the activation, and so the bias too).
        self.gain = math.sqrt(2 / (9 * c_in)) if index else 1.0

    def forward(self, x: Tensor, noise: Tensor | None, padding: Tensor | None) -> Tensor:
        if self.index:
            kernel = self.weight * self.gain
            if self.index % 2 == 0:
                x = blur(upsample_conv(x, kernel))
            elif padding is None:
                x = F.conv2d(x, kernel, padding=1)
            else:
                x = F.conv2d(insert_into(padding, x), kernel)
        if noise is not None and self.noise_weight is not None:
            # One strength per channel; StyleGAN2 has one per layer.
            x = x + noise * self.noise_weight[:, None, None]
        return F.leaky_relu(x + self.bias[:, None, None], SLOPE)


class Output(nn.Module):
    """1x1 convolution to RGB, without a style."""

    def __init__(self, channels: int, image_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(image_channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.gain = 1 / math.sqrt(channels)  # no sqrt(2): no leaky ReLU follows

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.gain, self.bias)


class StyleGAN1(Generator):
    """The network. Its parts and their sizes follow from a state dict in ganvert's names.

    Names: ``mapping.*``, ``w_avg`` [w_dim], ``synthesis.layer{i}.*``, ``synthesis.output.*``, and ``w_avg_rows``
    [num_ws, w_dim] if every row has its own mean. Configuration: ``final_tanh`` (False) and ``lr_multiplier`` of the
    mapping network (0.01).
    """

    architecture = "stylegan1"
    w_avg_rows: Tensor | None

    def __init__(self, state: Mapping[str, Tensor], *, final_tanh: bool = False, lr_multiplier: float = 0.01) -> None:
        super().__init__()
        self.num_ws = len({name.split(".")[1] for name in state if name.startswith("synthesis.layer")})
        self.resolution = 2 ** (self.num_ws // 2 + 1)
        if self.num_ws < 2 or self.num_ws % 2 or self.resolution > LARGEST:
            raise CheckpointError(f"StyleGAN1 has two layers a resolution up to {LARGEST} px, not {self.num_ws} layers")
        self.mapping, self.z_dim = MappingNetwork.for_state(state, bias_gain=1, lr_multiplier=lr_multiplier)
        self.label_dim = self.mapping.label_dim
        self.w_dim = state["synthesis.layer0.style.weight"].shape[1]
        self.final_tanh = final_tanh
        mapped = len(state[f"mapping.fc{self.mapping.count - 1}.bias"])
        self.rows_differ = mapped != self.w_dim
        if self.rows_differ and mapped != self.num_ws * self.w_dim:
            raise CheckpointError("StyleGAN1: the mapping network ends neither in one w nor in one w for every layer")
        channels = [len(state[f"synthesis.layer{i}.bias"]) for i in range(self.num_ws)]
        self.synthesis = nn.ModuleDict()
        for i, (before, after) in enumerate(zip([0, *channels], channels)):
            name = f"synthesis.layer{i}.noise"
            self.synthesis[f"layer{i}"] = Layer(
                i,
                before,
                after,
                self.w_dim,
                noise_weight=f"{name}_weight" in state,
                noise_const=f"{name}_const" in state,
            )
        self.image_channels = len(state["synthesis.output.bias"])
        self.synthesis["output"] = Output(channels[-1], self.image_channels)
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        self.register_buffer("w_avg_rows", torch.zeros(self.num_ws, self.w_dim) if "w_avg_rows" in state else None)

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN1:
        """Build a network with the sizes of a state dict, without loading its values.

        Raises:
            CheckpointError: names, shapes or configuration are not those of a StyleGAN1.
        """
        options = _options(config)
        return fitted(lambda: cls(state, **options), state, "StyleGAN1")

    @property
    def _layers(self) -> list[Layer]:
        return [cast("Layer", self.synthesis[f"layer{i}"]) for i in range(self.num_ws)]

    @property
    def style_layout(self) -> tuple[StyleSlot, ...]:
        return tuple(
            StyleSlot(f"layer{layer.index}", 2 * layer.channels, layer.index, layer.resolution)
            for layer in self._layers
        )

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        """The constant, and the output of every layer before its normalisation: its own style still acts on it."""
        points = (
            FeaturePoint(f"layer{layer.index}", (layer.channels, layer.resolution, layer.resolution), layer.index)
            for layer in self._layers
        )
        return (FeaturePoint("const", (self._layers[0].channels, 4, 4), 0), *points)

    @property
    def paddable(self) -> tuple[PaddableConv, ...]:
        return tuple(PaddableConv(f"layer{layer.index}", layer.c_in, layer.resolution) for layer in self._layers[1::2])

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple((layer.resolution, layer.resolution) for layer in self._layers)

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        w = self.mapping(z, labels)
        return w.unflatten(1, (self.num_ws, self.w_dim)) if self.rows_differ else w

    def map(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        if psi == 1.0 or self.w_avg_rows is None:
            return super().map(z, labels, psi, cutoff)
        # Every row is drawn towards its own mean.
        ws = super().map(z, labels)
        truncated = self.w_avg_rows + psi * (ws - self.w_avg_rows)
        rows = self.num_ws if cutoff is None else cutoff
        return torch.cat([truncated[:, :rows], ws[:, rows:]], dim=1)

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        return {f"layer{layer.index}": layer.style(ws[:, layer.index]) for layer in self._layers}

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        del px  # saves nothing: every layer contributes to the image
        self.check(synthesis_input)
        styles = self.resolve_styles(synthesis_input)
        padding = synthesis_input.padding or {}
        layers = self._layers
        taps = Taps([point.name for point in self.feature_points], synthesis_input, read, stop)
        x: Tensor = layers[0].const
        if taps.start <= 0:
            x = taps.at("const", x.expand(synthesis_input.count, -1, -1, -1) if taps.start < 0 else taps.injected)
        for i, layer in enumerate(layers):
            point, name = i + 1, f"layer{i}"
            if point < taps.start or point > taps.end:
                continue
            if point == taps.start:
                x = taps.at(name, taps.injected)
                continue
            if i > 0:  # the style of a layer acts after it, hence at the input of the next
                x = stylise(x, styles[f"layer{i - 1}"])
            x = taps.at(name, layer(x, self._noise(synthesis_input, i), padding.get(name)))
        if stop:
            return x.new_empty(synthesis_input.count, self.image_channels, 0, 0), taps.activations
        image = self.synthesis["output"](stylise(x, styles[f"layer{self.num_ws - 1}"]))
        return (image.tanh() if self.final_tanh else image), taps.activations

    def stored_noise(self) -> list[Tensor]:
        stored = [layer.noise_const for layer in self._layers]
        return super().stored_noise() if None in stored else [cast(Tensor, value)[None, None] for value in stored]

    def _noise(self, synthesis_input: SynthesisInput, index: int) -> Tensor | None:
        """Return the map of one layer before its strengths: [r, r] or [N or 1, 1, r, r], or None."""
        if isinstance(synthesis_input.noise, str):
            return self._layers[index].noise_const if synthesis_input.noise == "const" else None
        return synthesis_input.noise[index]


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as arguments of the network, or raise CheckpointError."""
    for name, value in config.items():
        if name == "final_tanh":
            valid = isinstance(value, bool)
        else:
            valid = name == "lr_multiplier" and type(value) in (int, float) and 0 < value < math.inf
        if not valid:
            raise CheckpointError(f"StyleGAN1: configuration {name}: {value!r} is unknown or out of range")
    return dict(config)

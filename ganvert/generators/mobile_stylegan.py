"""MobileStyleGAN, the architecture of the FFHQ generator that `ganvert fetch` installs.

A distilled StyleGAN2 (Belousov 2021, arXiv 2104.04767): depthwise separable modulated convolutions, and inverse Haar
transforms instead of upsampling. In the exported network the demodulation is folded into the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganvert.compute.kernels import use_cpu_kernels
from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput, Taps
from ganvert.networks.fit import fitted
from ganvert.networks.modulation import pointwise, rows_to_map, scaled
from ganvert.networks.padding import insert_into

__all__ = ["MobileStyleGAN", "inverse_haar"]

SLOPE = 0.2


class _Interleave(torch.autograd.Function):
    """Twice the inverse Haar transform: sums of the bands, written directly to their pixels.

    With `stack` and `pixel_shuffle`, which copy the image two more times, it takes twice as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        c = channels // 4
        ll = x[:, :c]
        lh, hl, hh = x[:, c:].unflatten(1, (c, 3)).unbind(2)
        out = x.new_empty(n, c, h, 2, w, 2)  # pixel (2y + row, 2x + column) lies at [:, :, y, row, x, column]
        for row, (low, high) in enumerate(((ll + lh, hl + hh), (ll - lh, hl - hh))):
            torch.add(low, high, out=out[:, :, :, row, :, 0])
            torch.sub(low, high, out=out[:, :, :, row, :, 1])
        return out.view(n, c, 2 * h, 2 * w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # The transform is linear and symmetric up to its scale: its transpose takes the same sums and differences.
        n, c, h, w = grad.shape
        phases = grad.unflatten(2, (h // 2, 2)).unflatten(4, (w // 2, 2))
        out = grad.new_empty(n, 4 * c, h // 2, w // 2)
        ll, others = out[:, :c], out[:, c:].unflatten(1, (c, 3))
        (low, high), (low_, high_) = (
            (row[..., 0] + row[..., 1], row[..., 0] - row[..., 1]) for row in phases.unbind(3)
        )
        torch.add(low, low_, out=ll)
        torch.sub(low, low_, out=others[:, :, 0])
        torch.add(high, high_, out=others[:, :, 1])
        torch.sub(high, high_, out=others[:, :, 2])
        return out


def inverse_haar(x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Apply the inverse 2-D Haar transform to ``x * scale``: [N, 4C, h, w] to [N, C, 2h, 2w].

    The first C channels are LL; the others are (LH, HL, HH) interleaved per channel. LH changes its sign from row to
    row, HL from column to column, HH with both.
    """
    # Factor 1/2: each 1-D inverse transform divides by sqrt(2), which makes the 2-D transform orthonormal.
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        return _haar_by_products(x, scale)
    x = x * (0.5 * scale)
    if use_cpu_kernels(x):
        return cast(Tensor, _Interleave.apply(x))
    n, channels, h, w = x.shape
    c = channels // 4
    ll = x[:, :c]
    lh, hl, hh = x[:, c:].reshape(n, c, 3, h, w).unbind(2)
    low, high = ll + lh, hl + hh  # of the upper row of each 2 x 2 block
    low_, high_ = ll - lh, hl - hh  # of the lower row
    # pixel_shuffle takes the pixels of a block in the order: upper left, upper right, lower left, lower right.
    phases = torch.stack([low + high, low - high, low_ + high_, low_ - high_], dim=2)
    return F.pixel_shuffle(phases.reshape(n, channels, h, w), 2)


def _haar_by_products(x: Tensor, scale: Tensor | float) -> Tensor:
    """Do the same with channels last: a 1x1 convolution to the four pixels of each position, then one copy.

    The bands of a channel are next to each other there, which vector instructions do not add up well. Matrix products
    are what bfloat16 is fast at, they have the scale in their weights, and they round once.
    """
    n, channels, h, w = x.shape
    c = channels // 4
    bands = torch.arange(c)
    signs = torch.zeros(2, 2, c, channels)  # row and column of the pixel, channel, band
    for row in (0, 1):
        for column in (0, 1):
            vertical, horizontal = 1 - 2 * row, 1 - 2 * column
            signs[row, column, bands, bands] = 1
            for i, sign in enumerate((vertical, horizontal, vertical * horizontal)):
                signs[row, column, bands, c + 3 * bands + i] = sign
    factors = scale.view(n, 1, channels) if isinstance(scale, Tensor) else torch.full((n, 1, 1), float(scale))
    pixels = pointwise(x, 0.5 * factors * signs.view(channels, channels))
    pixels = pixels.permute(0, 2, 3, 1).unflatten(3, (2, 2, c))  # [n, h, w, row, column, c]
    return rows_to_map(pixels.transpose(2, 3).reshape(n, 4 * h * w, c), 2 * h, 2 * w)


class _Separable(torch.autograd.Function):
    """:class:`SeparableConv` with frozen weights as one operation.

    The gradient of the style is a sum over products that the gradient of the input needs anyway, which saves a matrix
    product; and nothing is stored for the gradients of frozen weights. Noise and leaky ReLU are in place here, which
    autograd would pay for with copies of the gradient, as the result of a matrix product is a view.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style: Tensor,
        noise: Tensor | None,
        depthwise: Tensor,
        mixing: Tensor,
        bias: Tensor,
    ) -> Tensor:
        filtered = F.conv2d(x, depthwise, padding=1, groups=len(depthwise))
        out = pointwise(filtered, mixing * style.unsqueeze(1), bias)
        if noise is not None:
            out.add_(noise)
        F.leaky_relu(out, SLOPE, inplace=True)
        ctx.save_for_backward(filtered, style, depthwise, mixing, out)
        ctx.noise_shape = None if noise is None else noise.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        filtered, style, depthwise, mixing, out = ctx.saved_tensors
        needs_x, needs_style, needs_noise = ctx.needs_input_grad[:3]
        # A leaky ReLU keeps the sign, so that its result tells the slope as well as its input would.
        grad = torch.ops.aten.leaky_relu_backward(grad, out, SLOPE, True)
        grad_noise = grad.sum_to_size(ctx.noise_shape) if needs_noise else None
        mixed = pointwise(grad, mixing.t().expand(len(grad), -1, -1))
        grad_style = (filtered * mixed).sum(dim=(2, 3)).to(style.dtype) if needs_style else None
        grad_x = None
        if needs_x:
            mixed *= style.to(mixed.dtype)[:, :, None, None]
            # The transpose of a 3 x 3 correlation with padding 1 is the correlation with the kernel turned around.
            grad_x = F.conv2d(mixed, depthwise.flip(2, 3), padding=1, groups=len(depthwise))
        return grad_x, grad_style, grad_noise, None, None, None


class MappingNetwork(nn.Module):
    """z to w: normalise, then linear layers with leaky ReLU 0.2 and gain sqrt(2).

    The export multiplied the weights by their learning-rate multiplier and by 1 / sqrt(fan_in) already.
    """

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(z_dim if i == 0 else w_dim, w_dim) for i in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE) * math.sqrt(2)
        return x


class SeparableConv(nn.Module):
    """Modulated depthwise 3x3 then 1x1, plus noise, bias and leaky ReLU."""

    noise: Tensor  # the stored map

    def __init__(self, w_dim: int, c_in: int, c_out: int, resolution: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, c_in)
        self.depthwise = nn.Parameter(torch.zeros(c_in, 1, 3, 3))
        self.pointwise = nn.Parameter(torch.zeros(c_out, c_in))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.register_buffer("noise", torch.zeros(1, 1, resolution, resolution))
        self.scale = 1 / math.sqrt(c_in * 9)  # equalised learning rate: 1 / sqrt(fan_in) of the whole 3 x 3 convolution

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, padding: Tensor | None) -> Tensor:
        c_in = x.shape[1]
        frozen = not any(weight.requires_grad for weight in (self.depthwise, self.pointwise, self.bias))
        if padding is None and frozen and use_cpu_kernels(x):
            inputs = (x, style * self.scale, noise, self.depthwise, self.pointwise, self.bias)
            return cast(Tensor, _Separable.apply(*inputs))
        if padding is not None:
            # Padding is not modulated, so the style has to act before the padding is inserted.
            x, style = insert_into(padding, scaled(x, style)), torch.ones_like(style)
        x = F.conv2d(x, self.depthwise, padding=int(padding is None), groups=c_in)
        # A depthwise convolution does not mix channels, so a factor per channel can act after it as well: here it
        # scales the small 1x1 weight instead of the large feature map, which saves a pass over memory both ways.
        x = pointwise(x, self.pointwise * (style * self.scale).unsqueeze(1), self.bias)
        # Not in place: x is a view, and autograd would copy its gradient to the memory behind it and back.
        return F.leaky_relu(x if noise is None else x + noise, SLOPE)


class FirstConv(nn.Module):
    """The modulated 3x3 convolution on the learned 4x4 constant."""

    noise: Tensor  # the stored map

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.zeros(1, 1, 4, 4))
        self.scale = 1 / math.sqrt(channels * 9)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, padding: Tensor | None) -> Tensor:
        x = scaled(x, style)
        if padding is not None:
            x = insert_into(padding, x)
        x = F.conv2d(x, self.weight * self.scale, self.bias, padding=int(padding is None))
        if noise is not None:
            x = x + noise
        return F.leaky_relu(x, SLOPE)


class Layer(nn.Module):
    """Style, inverse Haar upsampling, two separable convolutions."""

    def __init__(self, w_dim: int, c_in: int, c_out: int, resolution: int) -> None:
        super().__init__()
        self.up = nn.Linear(w_dim, c_in)
        self.conv1 = SeparableConv(w_dim, c_in // 4, c_out, resolution)  # four bands make one channel
        self.conv2 = SeparableConv(w_dim, c_out, c_out, resolution)


class ToImage(nn.Module):
    """Modulated 1x1 convolution to 4 wavelet bands of RGB."""

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.weight = nn.Parameter(torch.zeros(12, channels))
        self.bias = nn.Parameter(torch.zeros(12))
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor, style: Tensor, half: bool = False) -> Tensor:
        """Return images [N, 3, 2h, 2w]; with `half`, their averages over 2 x 2 pixels [N, 3, h, w]."""
        # The details sum to zero over a block of pixels, so that its average is LL / 2: the other bands are not needed.
        count = 3 if half else 12
        weight = self.weight[:count] * (style * self.scale).unsqueeze(1)
        bands = pointwise(x, weight, self.bias[:count])
        return 0.5 * bands if half else inverse_haar(bands)


class MobileStyleGAN(Generator):
    """The network; `channels` are the outputs of the first convolution and of each layer."""

    architecture = "mobile_stylegan"

    def __init__(self, channels: Sequence[int], z_dim: int = 512, w_dim: int = 512, mapping_layers: int = 8) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.z_dim, self.w_dim = z_dim, w_dim
        self.resolution = 4 * 2 ** len(channels)
        self.num_ws = 2 * len(channels)  # conv1, two rows per layer, and one for the image
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_layers)
        self.const = nn.Parameter(torch.zeros(1, channels[0], 4, 4))
        self.conv1 = FirstConv(w_dim, channels[0])
        self.layers = nn.ModuleList(
            Layer(w_dim, channels[i], channels[i + 1], 8 * 2**i) for i in range(len(channels) - 1)
        )
        self.to_img = ToImage(w_dim, channels[-1])
        self.register_buffer("w_avg", torch.zeros(w_dim))

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> MobileStyleGAN:
        """Build a network with the sizes of a state dict, without loading its values.

        Raises:
            CheckpointError: the tensors are not those of a MobileStyleGAN.
        """
        del config  # the tensors show everything

        def make() -> MobileStyleGAN:
            count = len({name.split(".")[1] for name in state if name.startswith("layers.")})
            mapping_layers = len({name.split(".")[2] for name in state if name.startswith("mapping.")})
            channels = [len(state["conv1.bias"]), *(len(state[f"layers.{i}.conv2.bias"]) for i in range(count))]
            w_dim, z_dim = state["mapping.layers.0.weight"].shape
            return cls(channels, z_dim, w_dim, mapping_layers)

        return fitted(make, state, "MobileStyleGAN")

    @property
    def _blocks(self) -> Sequence[Layer]:
        return cast("Sequence[Layer]", self.layers)

    @property
    def style_layout(self) -> tuple[StyleSlot, ...]:
        slots = [StyleSlot("conv1", self.channels[0], 0, 4)]
        for i, layer in enumerate(self._blocks):
            size = 8 * 2**i
            # Upsampling shares its row with the convolution after it.
            slots += [
                StyleSlot(f"layers.{i}.up", layer.up.out_features, 2 * i + 1, size // 2),
                StyleSlot(f"layers.{i}.conv1", layer.conv1.affine.out_features, 2 * i + 1, size),
                StyleSlot(f"layers.{i}.conv2", layer.conv2.affine.out_features, 2 * i + 2, size),
            ]
        return (*slots, StyleSlot("to_img", self.channels[-1], self.num_ws - 1, self.resolution // 2, to_rgb=True))

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        points = (FeaturePoint(f"x{4 * 2**i}", (c, 4 * 2**i, 4 * 2**i), 2 * i + 1) for i, c in enumerate(self.channels))
        return (FeaturePoint("const", (self.channels[0], 4, 4), 0), *points)

    @property
    def paddable(self) -> tuple[PaddableConv, ...]:
        convs = [PaddableConv("conv1", self.channels[0], 4)]
        for i, layer in enumerate(self._blocks):
            size = 8 * 2**i
            convs += [
                PaddableConv(f"layers.{i}.conv1", layer.conv1.affine.out_features, size),
                PaddableConv(f"layers.{i}.conv2", layer.conv2.affine.out_features, size),
            ]
        return tuple(convs)

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        sizes = [4] + [8 * 2**i for i in range(len(self.layers)) for _ in range(2)]
        return tuple((size, size) for size in sizes)

    @property
    def noise_maps(self) -> tuple[Tensor, ...]:
        """Stored noise maps in execution order, [1, 1, h, h] each, with their strengths included."""
        maps = [self.conv1.noise]
        for layer in self._blocks:
            maps += [layer.conv1.noise, layer.conv2.noise]
        return tuple(maps)

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        del labels  # always None: the network has no classes
        return self.mapping(z)

    def _affines(self) -> dict[str, nn.Linear]:
        affines = {"conv1": self.conv1.affine}
        for i, layer in enumerate(self._blocks):
            affines |= {
                f"layers.{i}.up": layer.up,
                f"layers.{i}.conv1": layer.conv1.affine,
                f"layers.{i}.conv2": layer.conv2.affine,
            }
        return affines | {"to_img": self.to_img.affine}

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        affines = self._affines()
        return {slot.name: affines[slot.name](ws[:, slot.row]) for slot in self.style_layout}

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.check(synthesis_input)
        styles = self.resolve_styles(synthesis_input)
        noise = self._noise(synthesis_input)
        padding = synthesis_input.padding or {}
        points = [point.name for point in self.feature_points]
        taps = Taps(points, synthesis_input, read, stop)
        x = self.const.expand(synthesis_input.count, -1, -1, -1)
        for i, name in enumerate(points):
            if i < taps.start or i > taps.end:
                continue
            if i == taps.start:
                x = taps.at(name, taps.injected)
                continue
            if i == 1:  # point 0 is the constant
                x = self.conv1(x, styles["conv1"], noise[0], padding.get("conv1"))
            elif i > 1:
                layer, slot = self._blocks[i - 2], f"layers.{i - 2}"
                x = inverse_haar(x, styles[f"{slot}.up"][:, :, None, None])
                x = layer.conv1(x, styles[f"{slot}.conv1"], noise[2 * i - 3], padding.get(f"{slot}.conv1"))
                x = layer.conv2(x, styles[f"{slot}.conv2"], noise[2 * i - 2], padding.get(f"{slot}.conv2"))
            x = taps.at(name, x)
        if stop:
            return x.new_empty(synthesis_input.count, self.image_channels, 0, 0), taps.activations
        return self.to_img(x, styles["to_img"], half=px is not None and px <= self.resolution // 2), taps.activations

    def stored_noise(self) -> list[Tensor]:
        # A map of zeros, whose strength is 0, stays one.
        tiny = torch.finfo(torch.float32).tiny
        return [stored / stored.square().mean().sqrt().clamp_min(tiny) for stored in self.noise_maps]

    def _noise(self, synthesis_input: SynthesisInput) -> Sequence[Tensor | None]:
        """Return the map that each convolution adds."""
        if synthesis_input.noise == "const":
            return self.noise_maps
        if isinstance(synthesis_input.noise, str):
            return [None] * len(self.noise_shapes)
        # The export multiplied the stored maps, which had unit variance, by their learned strengths: RMS is strength.
        strengths = [stored.square().mean().sqrt() for stored in self.noise_maps]
        return [given * strength for given, strength in zip(synthesis_input.noise, strengths, strict=True)]

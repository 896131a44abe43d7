"""StyleGAN3, configurations T and R (Karras et al. 2021, arXiv 2106.12423).

Every map has a margin around the image (10 px in the published networks), which the last layers crop. A nonlinearity
acts between an upsampling and a downsampling filter, so that it does not alias. The filters, Kaiser-windowed sincs
(config T) or radially symmetric jincs (config R), are read from the checkpoint, so that one module serves both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError
from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput, Taps, check_shape
from ganvert.networks.fit import fitted
from ganvert.networks.mapping import Dense, MappingNetwork
from ganvert.networks.modulation import scaled

__all__ = ["StyleGAN3", "downsample", "upsample"]

SLOPE = 0.2

#: Longest edge of an image, of a map (image and margins), and of a map between the two filters of a layer [px].
MOST_PIXELS, LARGEST_MAP, LARGEST_UPSAMPLED = 4096, 4096 + 64, 2 * (4096 + 64) + 128

#: A separable filter up to this length is applied as one 2-D depthwise convolution. Two 1-D passes multiply less but
#: write the large map twice: measured on a CPU (forward and backward) they lose with 12 taps and win with 24.
ONE_PASS_TAPS = 16


@dataclass(frozen=True, kw_only=True)
class _LayerFacts:
    """Properties of a layer that its tensors do not show; padding is (left, right, top, bottom) after zero insertion.

    A layer is critically sampled if its cutoff frequency is half its sampling rate. The last two are, so that images
    have every frequency of their pixel grid; all others leave room for the transition band of their filter, which
    keeps aliases out. Config R has radial filters except in these two, whose spectrum has to match that of photographs.
    """

    up_factor: int
    down_factor: int
    padding: tuple[int, int, int, int]
    kernel: int
    is_torgb: bool
    conv_clamp: float | None


@dataclass(frozen=True, kw_only=True)
class _InputFacts:
    """Properties of the Fourier features: edge of the map [px], samples per image width, and the cutoff frequency."""

    size: int
    sampling_rate: float
    bandwidth: float


def _upsample(x: Tensor, kernel: Tensor, factors: tuple[int, int], padding: tuple[int, int, int, int]) -> Tensor:
    """Upsample in one pass with `kernel` [kh, kw] and `factors` (vertical, horizontal)."""
    (kh, kw), (fy, fx), (left, right, top, bottom) = kernel.shape, factors, padding
    # A transposed convolution computes the full convolution with the zero-inserted map, without multiplying the zeros.
    # Padding followed by a 'valid' convolution is a crop of that, in most layers by the same amount on both sides,
    # which the `padding` of the transposed convolution does by itself. A negative crop means zeros at the border.
    crops = (kw - 1 - left, kw - fx - right, kh - 1 - top, kh - fy - bottom)
    across, down = max(0, min(crops[:2])), max(0, min(crops[2:]))
    channels = x.shape[1]
    weight = kernel.expand(channels, 1, kh, kw)
    x = F.conv_transpose2d(x, weight, stride=factors, padding=(down, across), groups=channels)
    rest = (across - crops[0], across - crops[1], down - crops[2], down - crops[3])
    return F.pad(x, rest) if any(rest) else x


def upsample(x: Tensor, taps: Tensor | None, factor: int, padding: tuple[int, int, int, int]) -> Tensor:
    """Insert zeros, pad or crop, and filter; the mean is preserved.

    Args:
        x: [N, C, h, w].
        taps: [t] for a separable filter, [t, t] for any other, None for the identity.
        factor: h and w grow by it: each sample is followed by ``factor - 1`` zeros.
        padding: (left, right, top, bottom) after the insertion, negative to crop.

    Returns:
        [N, C, h * factor + top + bottom - t + 1, w * factor + left + right - t + 1].
    """
    taps = x.new_ones(1) if taps is None else taps
    left, right, top, bottom = padding
    # The gain `factor` along each axis makes up for the inserted zeros; the filter itself sums to 1.
    if taps.ndim == 1 and len(taps) > ONE_PASS_TAPS:
        x = _upsample(x, taps[:, None] * factor, (factor, 1), (0, 0, top, bottom))
        return _upsample(x, taps[None] * factor, (1, factor), (left, right, 0, 0))
    kernel = torch.outer(taps, taps) if taps.ndim == 1 else taps
    return _upsample(x, kernel * factor**2, (factor, factor), padding)


def _downsample(x: Tensor, kernel: Tensor, factors: tuple[int, int]) -> Tensor:
    channels = x.shape[1]
    # conv2d correlates; a convolution, which the transposed one above is, needs the kernel turned around.
    return F.conv2d(x, kernel.flip(0, 1).expand(channels, 1, *kernel.shape), stride=factors, groups=channels)


def downsample(x: Tensor, taps: Tensor | None, factor: int) -> Tensor:
    """Filter x [N, C, h, w] without padding and keep every `factor`-th sample; for `taps` see :func:`upsample`."""
    taps = x.new_ones(1) if taps is None else taps
    if taps.ndim == 1 and len(taps) > ONE_PASS_TAPS:
        return _downsample(_downsample(x, taps[:, None], (factor, 1)), taps[None], (1, factor))
    return _downsample(x, torch.outer(taps, taps) if taps.ndim == 1 else taps, (factor, factor))


class FourierInput(nn.Module):
    """Sine waves over the plane, rotated and translated by w, and a 1x1 convolution (configs B and H)."""

    transform: Tensor  # [3, 3], inverse of the user's transform of the image; the identity in trained networks
    freqs: Tensor  # [C, 2]
    phases: Tensor  # [C]

    def __init__(self, w_dim: int, inputs: int, outputs: int, facts: _InputFacts) -> None:
        super().__init__()
        self.facts = facts
        self.affine = Dense(w_dim, 4)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.register_buffer("transform", torch.zeros(3, 3))
        self.register_buffer("freqs", torch.zeros(inputs, 2))
        self.register_buffer("phases", torch.zeros(inputs))

    def forward(self, style: Tensor, transform: Tensor | None) -> Tensor:
        """Synthesise the map that the first layer reads.

        Args:
            style: [N, 4]: cosine and sine of a rotation and a translation (x, y), all up to one common length.
            transform: [3, 3] or [N, 3, 3]; None for the stored one.

        Returns:
            [N, C, size, size].
        """
        size, rate, bandwidth = self.facts.size, self.facts.sampling_rate, self.facts.bandwidth
        # The translation is divided by the length of (cosine, sine) too, as in the authors' code.
        cos, sin, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        # The waves are evaluated at M p for each pixel p: M maps output to input coordinates, so it is the *inverse* of
        # how the image moves, and a translation of the image by (x, y) enters with a minus sign.
        # The upper two rows of rotation @ translation(-x, -y):
        top = torch.stack([cos, -sin, sin * y - cos * x], dim=1)
        bottom = torch.stack([sin, cos, -sin * x - cos * y], dim=1)
        matrix = torch.stack([top, bottom], dim=1) @ (self.transform if transform is None else transform.to(style))
        # f . (A p + t) = (f A) . p + f . t: the matrix turns the frequencies, the translation shifts the phases.
        freqs = self.freqs @ matrix[:, :, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ matrix[:, :, 2:]).squeeze(2)  # [N, C]
        # A transform that shrinks the image raises frequencies: waves fade out before they reach half the sampling
        # rate, beyond which they would alias.
        fade = (1 - (freqs.norm(dim=2) - bandwidth) / (rate / 2 - bandwidth)).clamp(0, 1)
        at = (torch.arange(size, device=style.device, dtype=style.dtype) - (size - 1) / 2) / rate  # pixel centres
        # freqs are (x, y), maps are [row, column] = [y, x]: [N, C, 1, size] along columns, [N, C, size, 1] along rows.
        across, down = freqs[:, :, None, :1] * at, freqs[:, :, 1:, None] * at[:, None]
        waves = torch.sin(2 * math.pi * (across + down + phases[:, :, None, None])) * fade[:, :, None, None]
        return F.conv2d(waves, self.weight[:, :, None, None] / math.sqrt(self.weight.shape[1]))


class Layer(nn.Module):
    """Modulated convolution, bias, and a leaky ReLU between an upsampling and a downsampling filter.

    The toRGB layer has neither demodulation nor nonlinearity.
    """

    magnitude_ema: Tensor  # [], moving average of the input's mean square during training
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(
        self, w_dim: int, shape: Sequence[int], up: Sequence[int] | None, down: Sequence[int] | None, facts: _LayerFacts
    ) -> None:
        """Build the layer with the `shape` of its weight [O, I, k, k] and the shapes `up` and `down` of its filters."""
        super().__init__()
        self.facts = facts
        self.affine = Dense(w_dim, shape[1])
        self.weight = nn.Parameter(torch.zeros(*shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.register_buffer("magnitude_ema", torch.zeros(()))
        self.register_buffer("up_filter", None if up is None else torch.zeros(*up))
        self.register_buffer("down_filter", None if down is None else torch.zeros(*down))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Run the layer on x [N, I, h, w] with style [N, I]; returns [N, O, h', w']."""
        facts = self.facts
        x = x.to(self.weight.dtype)  # the sine waves are float32
        x = upsample(self._convolve(x, style), self.up_filter, facts.up_factor, facts.padding)
        if not facts.is_torgb:
            x = F.leaky_relu(x, SLOPE)
        if facts.conv_clamp is not None:  # at the high sampling rate, as the nonlinearity: it adds frequencies too
            x = x.clamp(-facts.conv_clamp, facts.conv_clamp)
        return downsample(x, self.down_filter, facts.down_factor)

    def _convolve(self, x: Tensor, style: Tensor) -> Tensor:
        """Apply the modulated convolution and the bias, times the gain sqrt(2) of the leaky ReLU.

        The style scales the input and the demodulation the output, so that all images share one weight.
        """
        weight = self.weight.to(style.dtype)
        bias: Tensor = self.bias
        # Scales the input to unit variance, as averaged over training (config D).
        gain = self.magnitude_ema.to(style.dtype).rsqrt()
        if self.facts.is_torgb:
            # Without demodulation the 1 / sqrt(fan_in) of the equalised learning rate has to act here.
            style, scale = style / math.sqrt(weight[0].numel()), gain.expand(1, 1)
        else:
            # Upsampling and leaky ReLU commute with positive factors: sqrt(2) is cheapest on the small map before them.
            gain, bias = gain * math.sqrt(2), bias * math.sqrt(2)
            # Normalising weights and styles first changes nothing but the effect of the 1e-8: demodulation cancels it.
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            # By the RMS of each image's style, where the authors' code takes that of the whole batch: an image does
            # not depend on the others.
            style = style * (style.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
            scale = (style.square() @ weight.square().sum(dim=(2, 3)).t() + 1e-8).rsqrt() * gain
        # 'Full' padding: the map grows by k - 1, which the crop of the following filter takes back.
        x = F.conv2d(scaled(x, style), weight.to(x.dtype), padding=self.facts.kernel - 1)
        return torch.addcmul(bias.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, :, None, None])


class Synthesis(nn.Module):
    """Input and layers under the names of the state dict; :class:`StyleGAN3` runs them."""

    def __init__(self, w_dim: int, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        entries = _table(config, "config", {"input", "layers", "output_scale"}, {"lr_multiplier"})
        self.output_scale = _real(entries["output_scale"], "config.output_scale")
        outputs, inputs = state["synthesis.input.weight"].shape
        self.input = FourierInput(w_dim, inputs, outputs, _input_facts(entries["input"]))
        layers = entries["layers"]
        if not isinstance(layers, list) or len(layers) < 2:
            raise CheckpointError("StyleGAN3: config.layers: wanted a list of two layers or more")
        self.layers = nn.ModuleList()
        self.sizes = [self.input.facts.size]  # edge of the map before every layer, and finally of the image
        for i, entry in enumerate(layers):
            facts = _layer_facts(entry, f"config.layers[{i}]", last=i == len(layers) - 1)
            shape, up, down = _layer_shapes(state, i, facts, channels=outputs)
            self.sizes.append(_size_after(self.sizes[-1], facts, up, down, f"layer {i}"))
            self.layers.append(Layer(w_dim, shape, up, down, facts))
            outputs = shape[0]


class StyleGAN3(Generator):
    """The network. Sizes follow from a state dict, whose values are not loaded, and from the configuration.

    The configuration has ``input`` (size, sampling_rate, bandwidth), ``layers`` (for each: up_factor, down_factor,
    padding, kernel, is_torgb, conv_clamp), ``output_scale``, and ``lr_multiplier`` of the mapping network if that is
    not 0.01.
    """

    architecture = "stylegan3"
    exact = (Dense, FourierInput)

    def __init__(self, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        lr_multiplier = _real(config.get("lr_multiplier", 0.01), "config.lr_multiplier", above=0)
        self.mapping, self.z_dim = MappingNetwork.for_state(state, lr_multiplier=lr_multiplier)
        self.label_dim = self.mapping.label_dim
        self.w_dim = len(state["w_avg"])
        if len(state[f"mapping.fc{self.mapping.count - 1}.weight"]) != self.w_dim:
            raise CheckpointError(f"StyleGAN3: the mapping network does not end with {self.w_dim} features")
        self.synthesis = Synthesis(self.w_dim, state, config)
        self.resolution = self.synthesis.sizes[-1]
        if self.resolution > MOST_PIXELS:
            raise CheckpointError(f"StyleGAN3: pictures of {self.resolution} px, over {MOST_PIXELS}")
        self.image_channels = len(self._layers[-1].bias)
        self.num_ws = len(self._layers) + 1
        self.register_buffer("w_avg", torch.zeros(self.w_dim))

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN3:
        """Build a network with the sizes of a state dict, without loading its values.

        Raises:
            CheckpointError: tensors and configuration do not fit each other, or are out of bounds.
        """
        return fitted(lambda: cls(state, config), state, "StyleGAN3")

    @property
    def _layers(self) -> Sequence[Layer]:
        return cast("Sequence[Layer]", self.synthesis.layers)

    @property
    def style_layout(self) -> tuple[StyleSlot, ...]:
        """Vectors of S; the resolution of a slot is that of the map it scales, margins included."""
        sizes = self.synthesis.sizes
        slots = [StyleSlot("input", 4, 0, sizes[0])]
        for i, layer in enumerate(self._layers):
            slots.append(StyleSlot(f"layers.{i}", layer.weight.shape[1], i + 1, sizes[i]))
        return tuple(slots)

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        """Activations after the input and every layer but the last; their sizes include the margins."""
        size = self.synthesis.sizes[0]
        points = [FeaturePoint("input", (len(self.synthesis.input.weight), size, size), 1)]
        for i, layer in enumerate(self._layers[:-1]):
            size = self.synthesis.sizes[i + 1]
            points.append(FeaturePoint(f"layers.{i}", (len(layer.bias), size, size), i + 2))
        return tuple(points)

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        return ()

    @property
    def paddable(self) -> tuple[PaddableConv, ...]:
        return ()

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.mapping(z, labels)

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        affines = [self.synthesis.input.affine, *(layer.affine for layer in self._layers)]
        return {slot.name: affine(ws[:, slot.row]) for slot, affine in zip(self.style_layout, affines, strict=True)}

    def check(self, synthesis_input: SynthesisInput) -> None:
        super().check(dataclasses.replace(synthesis_input, transform=None))  # the other networks have none
        if synthesis_input.transform is not None:
            check_shape(
                synthesis_input.transform,
                (3, 3) if synthesis_input.transform.ndim == 2 else (synthesis_input.count, 3, 3),
                "transform",
            )

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        del px  # saves nothing: every layer contributes to the image
        self.check(synthesis_input)
        styles = self.resolve_styles(synthesis_input)
        points = [point.name for point in self.feature_points]
        taps = Taps(points, synthesis_input, read, stop)
        x = self.w_avg.new_empty(0)
        for i, name in enumerate(points):
            if i < taps.start or i > taps.end:
                continue
            if i == taps.start:
                x = taps.at(name, taps.injected)
            elif i == 0:
                x = taps.at(name, self.synthesis.input(styles[name], synthesis_input.transform))
            else:
                x = taps.at(name, self._layers[i - 1](x, styles[name]))
        if stop:
            return x.new_empty(synthesis_input.count, self.image_channels, 0, 0), taps.activations
        image = self._layers[-1](x, styles[f"layers.{len(self._layers) - 1}"])
        return image * self.synthesis.output_scale, taps.activations


def _table(value: Any, where: str, keys: set[str], optional: Set[str] = frozenset()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not keys <= set(value) <= keys | optional:
        got = sorted(map(str, value)) if isinstance(value, Mapping) else value
        raise CheckpointError(f"StyleGAN3: {where}: wanted {', '.join(sorted(keys))}, got {got!r:.200}")
    return value


def _whole(value: Any, where: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise CheckpointError(f"StyleGAN3: {where}: wanted a whole number from {low} to {high}, got {value!r:.100}")
    return value


def _real(value: Any, where: str, above: float = -math.inf) -> float:
    # Compared with the largest float32, which also refuses infinity, NaN and integers that no float holds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 3e38 or value <= above:
        raise CheckpointError(f"StyleGAN3: {where}: wanted a number above {above}, got {value!r:.100}")
    return float(value)


def _input_facts(entry: Any) -> _InputFacts:
    entry = _table(entry, "config.input", {"size", "sampling_rate", "bandwidth"})
    facts = _InputFacts(
        size=_whole(entry["size"], "config.input.size", 1, LARGEST_MAP),
        sampling_rate=_real(entry["sampling_rate"], "config.input.sampling_rate", above=0),
        bandwidth=_real(entry["bandwidth"], "config.input.bandwidth", above=0),
    )
    if facts.bandwidth >= facts.sampling_rate / 2:
        raise CheckpointError("StyleGAN3: config.input: the bandwidth reaches half the sampling rate")
    return facts


def _layer_facts(entry: Any, where: str, last: bool) -> _LayerFacts:
    entry = _table(entry, where, {field.name for field in dataclasses.fields(_LayerFacts)})
    padding = entry["padding"]
    if not isinstance(padding, list | tuple) or len(padding) != 4:
        raise CheckpointError(f"StyleGAN3: {where}.padding: wanted four whole numbers, got {padding!r:.100}")
    if entry["is_torgb"] is not last:
        raise CheckpointError(f"StyleGAN3: {where}.is_torgb: wanted {last}: only the last layer is toRGB")
    left, right, top, bottom = (_whole(value, f"{where}.padding", -LARGEST_MAP, LARGEST_MAP) for value in padding)
    clamp = entry["conv_clamp"]
    return _LayerFacts(
        up_factor=_whole(entry["up_factor"], f"{where}.up_factor", 1, 16),
        down_factor=_whole(entry["down_factor"], f"{where}.down_factor", 1, 16),
        padding=(left, right, top, bottom),
        kernel=_whole(entry["kernel"], f"{where}.kernel", 1, 15),
        is_torgb=last,
        conv_clamp=None if clamp is None else _real(clamp, f"{where}.conv_clamp", above=0),
    )


def _layer_shapes(
    state: Mapping[str, Tensor], i: int, facts: _LayerFacts, channels: int
) -> tuple[Sequence[int], Sequence[int] | None, Sequence[int] | None]:
    """Return the shapes of layer i's weight and filters: [t], [t, t], or None if the layer does not resample."""
    prefix, kernel = f"synthesis.layers.{i}", facts.kernel
    shape = tuple(state[f"{prefix}.weight"].shape)
    if len(shape) != 4 or shape[1:] != (channels, kernel, kernel):
        raise CheckpointError(
            f"StyleGAN3: {prefix}.weight: wanted [N, {channels}, {kernel}, {kernel}], got {list(shape)}"
        )
    filters = []
    for name, factor in ((f"{prefix}.up_filter", facts.up_factor), (f"{prefix}.down_filter", facts.down_factor)):
        sides = tuple(state[name].shape) if name in state or factor > 1 else None
        if sides is not None and (len(sides) not in (1, 2) or len(set(sides)) != 1):
            raise CheckpointError(f"StyleGAN3: {name}: wanted one side or two equal ones, got {list(sides)}")
        filters.append(sides)
    return shape, filters[0], filters[1]


def _size_after(size: int, facts: _LayerFacts, up: Sequence[int] | None, down: Sequence[int] | None, where: str) -> int:
    """Return the edge of the map after a layer; the map has to be square, like its input."""
    up_taps, down_taps = up[0] if up else 1, down[0] if down else 1
    left, right, top, bottom = facts.padding
    edges = set()
    for low, high in ((left, right), (top, bottom)):
        inserted = (size + facts.kernel - 1) * facts.up_factor  # after the 'full' convolution and the zero insertion
        filtered = inserted + low + high - up_taps + 1
        # What `_upsample` keeps of its full convolution after both crops, which has to be something.
        kept = inserted - facts.up_factor + up_taps - max(0, up_taps - 1 - low)
        kept -= max(0, up_taps - facts.up_factor - high)
        edge = (filtered - down_taps) // facts.down_factor + 1
        largest = max(inserted + up_taps, filtered)
        if not (kept > 0 and filtered >= down_taps and edge <= LARGEST_MAP and largest <= LARGEST_UPSAMPLED):
            raise CheckpointError(f"StyleGAN3: {where}: a map of {size} px cannot become one of {edge} px this way")
        edges.add(edge)
    if len(edges) != 1:
        raise CheckpointError(f"StyleGAN3: {where}: the map would not be square: {sorted(edges)}")
    return edges.pop()

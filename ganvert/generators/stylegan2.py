"""StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), with the class labels and the clamp of ADA (arXiv 2006.06676).

Tensors have NVlabs' names and stored scale: weights have unit variance, gains are applied at run time.
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
from ganvert.networks.mapping import SLOPE, Dense, MappingNetwork
from ganvert.networks.modulation import (
    blur_kernel,
    demodulation,
    modulated_conv,
    modulated_pointwise,
    modulated_up_conv,
    scaled,
    upsample,
)

__all__ = ["LARGEST", "StyleGAN2"]

LARGEST = 4096  # px; official networks end at 1024


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU with gain sqrt(2), clamp."""

    noise_strength: nn.Parameter | None  # []
    noise_const: Tensor | None  # [r, r]

    def __init__(
        self,
        shape: Sequence[int],
        w_dim: int,
        resolution: int,
        *,
        up: bool,
        noise_strength: bool,
        noise_const: bool,
        clamp: float | None,
        scaled_demodulation: bool,
    ) -> None:
        """Build the layer.

        Args:
            shape: of the weight, [out, in, 3, 3].
            w_dim: width of w.
            resolution: of the output [px].
            up: double the resolution.
            noise_strength: whether the layer adds noise.
            noise_const: whether it stores a noise map.
            clamp: limit of the activations, or None.
            scaled_demodulation: see :class:`StyleGAN2`.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.affine = Dense(w_dim, shape[1])
        self.register_parameter("noise_strength", nn.Parameter(torch.zeros(())) if noise_strength else None)
        stored = torch.zeros(resolution, resolution) if noise_strength and noise_const else None
        self.register_buffer("noise_const", stored)
        self.resolution, self.up, self.clamp = resolution, up, clamp
        # The 1e-8 under the root of eq. 3. Code that scales weights by 1 / sqrt(fan_in) before it demodulates them adds
        # it to squares that are fan_in times smaller; on unscaled weights it is fan_in times larger.
        self.epsilon = 1e-8 * (shape[1] * 9 if scaled_demodulation else 1)

    def noise(self, given: Tensor | None) -> Tensor | None:
        """Return the given map, or the stored one, times the learned strength; None for no noise."""
        noise = self.noise_const if given is None else given
        return None if noise is None or self.noise_strength is None else noise * self.noise_strength

    def forward(
        self,
        x: Tensor,
        style: Tensor,
        noise: Tensor | None,
        *,
        blur: Tensor,
        gain: float = 1.0,
        padding: Tensor | None = None,
    ) -> Tensor:
        if self.up:
            x = modulated_up_conv(x, self.weight, style, blur)
        else:
            x = modulated_conv(x, self.weight, style, padding)
        # A leaky ReLU commutes with positive factors, so all gains act before it, merged with the demodulation and the
        # bias. sqrt(2) restores the variance that the activation halves. No 1 / sqrt(fan_in): demodulation cancels it.
        gain *= math.sqrt(2)
        x = scaled(x, demodulation(self.weight, style, self.epsilon) * gain)
        # In place where autograd does not need the old value: every copy of a large map is a pass over memory.
        x += (self.bias * gain)[:, None, None]
        if noise is not None:  # one map for all channels; added before the activation, so the gain applies to it too
            x += noise * gain
        x = F.leaky_relu_(x, SLOPE)
        if self.clamp is None:
            return x
        # The limit counts from before the sqrt(2), but scales with the gain of a residual branch.
        limit = self.clamp * gain / math.sqrt(2)
        return x.clamp(-limit, limit)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, clamp."""

    def __init__(self, shape: Sequence[int], w_dim: int, clamp: float | None) -> None:
        """Build the layer; `shape` of the weight is [image channels, in, 1, 1]."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.affine = Dense(w_dim, shape[1])
        # Not demodulated, so the 1 / sqrt(fan_in) of the equalised learning rate has to act here.
        self.gain, self.clamp = 1 / math.sqrt(shape[1]), clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = modulated_pointwise(x, self.weight.flatten(1), self.bias, style * self.gain)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Skip(nn.Module):
    """The shortcut of a residual block: 1x1 convolution, then upsampling."""

    def __init__(self, shape: Sequence[int]) -> None:
        """Build the layer; `shape` of the weight is [out, in, 1, 1]."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*shape))
        # 1 / sqrt(fan_in), and sqrt(1/2) because two branches of unit variance are added.
        self.gain = math.sqrt(0.5 / shape[1])

    def forward(self, x: Tensor, blur: Tensor) -> Tensor:
        return upsample(F.conv2d(x, self.weight * self.gain), blur)


class Block(nn.Module):
    """All layers of one resolution; parts that a network lacks are None."""

    const: nn.Parameter | None  # [C, 4, 4], at 4 px
    conv0: StyledConv | None
    conv1: StyledConv
    torgb: ToRGB | None
    skip: Skip | None

    def __init__(self, resolution: int, shapes: Mapping[str, Sequence[int]], w_dim: int, **options: Any) -> None:
        """Build the block from the shapes of its tensors; `options` are those of :class:`StyledConv`."""
        super().__init__()
        self.resolution = resolution
        first = resolution == 4  # the constant stands in for the upsampling convolution
        self.register_parameter("const", nn.Parameter(torch.zeros(shapes["const"][0], 4, 4)) if first else None)

        def conv(name: str) -> StyledConv:
            return StyledConv(
                shapes[f"{name}.weight"],
                w_dim,
                resolution,
                up=name == "conv0",
                noise_strength=f"{name}.noise_strength" in shapes,
                noise_const=f"{name}.noise_const" in shapes,
                **options,
            )

        self.conv0 = None if first else conv("conv0")
        self.conv1 = conv("conv1")
        self.torgb = ToRGB(shapes["torgb.weight"], w_dim, options["clamp"]) if "torgb.weight" in shapes else None
        self.skip = Skip(shapes["skip.weight"]) if "skip.weight" in shapes else None


class StyleGAN2(Generator):
    """The network. Its parts and their sizes follow from a state dict in ganvert's names.

    Names: ``mapping.*``, ``w_avg`` [w_dim], ``synthesis.b{r}.*`` as in NVlabs' files, without filters. Configuration:
    ``conv_clamp`` (None), ``scaled_demodulation`` (False: weights are demodulated at stored scale; True: after a
    factor of 1 / sqrt(fan_in), as rosinality and genforce do), ``lr_multiplier`` of the mapping network (0.01).

    Feature points are the outputs of the convolutions. A residual block has one, ``b{r}.conv1``, where its two branches
    meet: a feature inside it would leave the shortcut without an input. An injected feature does not carry the sum of
    the coarser toRGB outputs, so the image starts anew at its resolution, as in BDInvert.
    """

    architecture = "stylegan2"
    blur: Tensor

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        conv_clamp: float | None = None,
        scaled_demodulation: bool = False,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        shapes = _block_shapes(state)
        self.resolution = max(shapes)
        self.num_ws = 2 * len(shapes)  # one row per 3x3 convolution, and the last toRGB's own
        self.mapping, self.z_dim = MappingNetwork.for_state(state, lr_multiplier=lr_multiplier)
        self.label_dim = self.mapping.label_dim
        self.w_dim = state["synthesis.b4.conv1.affine.weight"].shape[1]
        mapped = state[f"mapping.fc{self.mapping.count - 1}.weight"].shape[0]
        if mapped != self.w_dim:
            raise CheckpointError(f"not a StyleGAN2: z is mapped to {mapped} numbers, layers read {self.w_dim}")
        self.image_channels = shapes[self.resolution]["torgb.weight"][0]
        options = {"clamp": conv_clamp, "scaled_demodulation": scaled_demodulation}
        self.synthesis = nn.ModuleDict({f"b{r}": Block(r, shapes[r], self.w_dim, **options) for r in sorted(shapes)})
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        self.register_buffer("blur", blur_kernel(), persistent=False)

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN2:
        """Build a network with the sizes of a state dict, without loading its values.

        Raises:
            CheckpointError: the tensors do not make a StyleGAN2, or the configuration is of another network.
        """
        options = _options(config)
        return fitted(lambda: cls(state, **options), state, "StyleGAN2")

    @property
    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.synthesis.values()))

    @property
    def _convs(self) -> list[tuple[str, StyledConv]]:
        """All 3x3 convolutions with their names in execution order; convolution i reads row i of ws."""
        convs = []
        for block in self._blocks:
            convs += [(f"b{block.resolution}.conv0", block.conv0)] if block.conv0 is not None else []
            convs += [(f"b{block.resolution}.conv1", block.conv1)]
        return convs

    @property
    def _affines(self) -> list[tuple[StyleSlot, Dense]]:
        affines, row = [], 0
        for block in self._blocks:
            r = block.resolution
            for name, part in (("conv0", block.conv0), ("conv1", block.conv1), ("torgb", block.torgb)):
                if part is not None:
                    slot = StyleSlot(f"b{r}.{name}", part.weight.shape[1], row, r)
                    affines.append((slot, part.affine))
                    # toRGB shares its row with the first convolution of the next block.
                    row += name != "torgb"
        return affines

    @property
    def style_layout(self) -> tuple[StyleSlot, ...]:
        return tuple(slot for slot, _ in self._affines)

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        first = self._blocks[0].conv1
        points = [FeaturePoint("const", (first.weight.shape[1], 4, 4), 0)]
        residual = any(block.skip is not None for block in self._blocks)
        for i, (name, conv) in enumerate(self._convs):
            if not (residual and conv.up):
                points.append(FeaturePoint(name, (len(conv.weight), conv.resolution, conv.resolution), i + 1))
        return tuple(points)

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple((conv.resolution,) * 2 for _, conv in self._convs if conv.noise_strength is not None)

    @property
    def paddable(self) -> tuple[PaddableConv, ...]:
        return tuple(
            PaddableConv(name, conv.weight.shape[1], conv.resolution) for name, conv in self._convs if not conv.up
        )

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.mapping(z, labels)

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        return {slot.name: affine(ws[:, slot.row]) for slot, affine in self._affines}

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        del px  # saves nothing: every layer contributes to the image
        self.check(synthesis_input)
        styles = self.resolve_styles(synthesis_input)
        noise = self._noise(synthesis_input)
        padding = synthesis_input.padding or {}
        points = [point.name for point in self.feature_points]
        taps = Taps(points, synthesis_input, read, stop)
        image: Tensor | None = None
        x = cast(Tensor, self._blocks[0].const).expand(synthesis_input.count, -1, -1, -1)  # one constant for all images
        for i, name in enumerate(points):
            if i < taps.start or i > taps.end:
                continue
            block, _, part = name.partition(".")
            if i == taps.start:
                x = taps.at(name, taps.injected)
            else:
                x = taps.at(name, x if name == "const" else self._step(name, x, styles, noise, padding))
            if part == "conv1" and not stop:  # toRGB reads the block's last activation, also an injected one
                image = self._add_rgb(cast(Block, self.synthesis[block]), x, image, styles)
        if stop:
            return x.new_empty(synthesis_input.count, self.image_channels, 0, 0), taps.activations
        return cast(Tensor, image), taps.activations

    def stored_noise(self) -> list[Tensor]:
        stored = [conv.noise_const for _, conv in self._convs if conv.noise_strength is not None]
        if not stored or any(value is None for value in stored):
            return super().stored_noise()
        return [cast(Tensor, value)[None, None] for value in stored]

    def _noise(self, synthesis_input: SynthesisInput) -> dict[str, Tensor | None]:
        """Return the map that each convolution adds."""
        if synthesis_input.noise == "none":
            return dict.fromkeys((name for name, _ in self._convs), None)
        if isinstance(synthesis_input.noise, str):
            return {name: conv.noise(None) for name, conv in self._convs}
        given = iter(synthesis_input.noise)
        return {name: None if conv.noise_strength is None else conv.noise(next(given)) for name, conv in self._convs}

    def _step(
        self,
        name: str,
        x: Tensor,
        styles: Mapping[str, Tensor],
        noise: Mapping[str, Tensor | None],
        padding: Mapping[str, Tensor],
    ) -> Tensor:
        """Compute the activation at point `name` from the previous one: a convolution, or a whole residual block."""
        block_name, _, part = name.partition(".")
        block = cast(Block, self.synthesis[block_name])
        if part == "conv0":
            return cast(StyledConv, block.conv0)(x, styles[name], noise[name], blur=self.blur)
        options = {"blur": self.blur, "padding": padding.get(name)}
        if block.skip is None:
            return block.conv1(x, styles[name], noise[name], **options)
        shortcut, inner = block.skip(x, self.blur), f"{block_name}.conv0"
        x = cast(StyledConv, block.conv0)(x, styles[inner], noise[inner], blur=self.blur)
        return shortcut + block.conv1(x, styles[name], noise[name], gain=math.sqrt(0.5), **options)

    def _add_rgb(self, block: Block, x: Tensor, image: Tensor | None, styles: Mapping[str, Tensor]) -> Tensor | None:
        """Add the toRGB output of a block to the upsampled image of the coarser ones."""
        if block.torgb is None:
            return image
        rgb = block.torgb(x, styles[f"b{block.resolution}.torgb"])
        # 'skip' sums images of all resolutions (section 4.1); 'resnet' and 'orig' come here with the last one only.
        return rgb if image is None else upsample(image, self.blur) + rgb


def _block_shapes(state: Mapping[str, Tensor]) -> dict[int, dict[str, tuple[int, ...]]]:
    """Return the shapes of each resolution's tensors by their names in the block, 4 px first."""
    shapes: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, value in state.items():
        if name.startswith("synthesis."):
            _, block, part = name.split(".", maxsplit=2)
            shapes.setdefault(int(block.removeprefix("b")), {})[part] = tuple(value.shape)
    sizes = sorted(shapes)
    if not sizes or sizes != [4 * 2**i for i in range(len(sizes))] or sizes[-1] > LARGEST:
        raise CheckpointError(f"not a StyleGAN2: its blocks are of {sizes or 'no'} px, wanted 4, 8, ... to {LARGEST}")
    rgb = [size for size in sizes if "torgb.weight" in shapes[size]]
    skips = [size for size in sizes if "skip.weight" in shapes[size]]
    # 'skip': every block has a toRGB. 'resnet' and 'orig': only the last. 'resnet': all blocks but the first have a
    # shortcut, which the files call skip.
    if rgb not in (sizes, sizes[-1:]) or skips not in ([], sizes[1:]) or (skips and rgb != sizes[-1:]):
        raise CheckpointError(f"not a StyleGAN2: of {sizes} px {rgb} have a toRGB and {skips} a skip")
    kernels = {"conv0.weight": (3, 3), "conv1.weight": (3, 3), "torgb.weight": (1, 1), "skip.weight": (1, 1)}
    for size, parts in shapes.items():
        for name, kernel in kernels.items():
            shape = parts.get(name, (1, 1, *kernel))
            if len(shape) != 4 or shape[2:] != kernel or 0 in shape:
                raise CheckpointError(f"not a StyleGAN2: b{size}.{name} has shape {list(shape)}, wanted {kernel}")
    _check_channels(shapes)
    return shapes


def _check_channels(shapes: Mapping[int, Mapping[str, tuple[int, ...]]]) -> None:
    """Refuse a layer that does not read as many channels as the layer before it has."""
    channels = shapes[4].get("const", (0,))[0]
    colours = shapes[max(shapes)]["torgb.weight"][0]
    for size in sorted(shapes):
        parts, incoming = shapes[size], channels
        for name in ("conv0.weight", "conv1.weight", "torgb.weight"):
            if name not in parts or (name == "conv0.weight" and size == 4):
                continue
            if parts[name][1] != channels or (name == "torgb.weight" and parts[name][0] != colours):
                raise CheckpointError(
                    f"not a StyleGAN2: b{size}.{name} has shape {list(parts[name])} after {channels} channels"
                )
            channels = parts[name][0] if name != "torgb.weight" else channels
        if parts.get("skip.weight", (channels, incoming))[:2] != (channels, incoming):
            raise CheckpointError(f"not a StyleGAN2: b{size}.skip.weight has shape {list(parts['skip.weight'])}")


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as arguments of the network, or raise CheckpointError."""
    clamp, multiplier = config.get("conv_clamp"), config.get("lr_multiplier", 0.01)
    scaled = config.get("scaled_demodulation", False)
    for name, value in (("conv_clamp", clamp), ("lr_multiplier", multiplier)):
        if not _is_positive(value) and not (name == "conv_clamp" and value is None):
            raise CheckpointError(f"StyleGAN2: {name} is {value!r}; wanted a number above 0")
    unknown = set(config) - {"conv_clamp", "lr_multiplier", "scaled_demodulation"}
    if not isinstance(scaled, bool) or unknown:
        raise CheckpointError(f"StyleGAN2: a configuration of another network ({dict(config)})")
    return {"conv_clamp": clamp, "lr_multiplier": multiplier, "scaled_demodulation": scaled}


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0

"""The residual discriminator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, section 4.1 and figure 7c).

StyleGAN2-ADA and StyleGAN3 use the same one. Tensors have NVlabs' names and their stored scale: weights of unit
variance, gains act at run time (equalised learning rate, Karras et al. 2018, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.discriminators.base import Discriminator
from ganvert.generators.stylegan2 import LARGEST
from ganvert.networks.fit import fitted
from ganvert.networks.mapping import SLOPE, Dense, MappingNetwork
from ganvert.networks.modulation import blur_kernel

__all__ = ["StyleGAN2Discriminator", "fresh"]


def _blurred(x: Tensor, blur: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Blur every channel by itself; with stride 2 only the pixels that remain are computed."""
    channels = x.shape[1]
    return F.conv2d(x, blur.expand(channels, 1, 4, 4), stride=stride, padding=padding, groups=channels)


class Conv(nn.Module):
    """Convolution with equalised learning rate, bias, leaky ReLU with gain sqrt(2), clamp; `down` halves the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, clamp: float | None, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain, self.clamp, self.down = 1 / math.sqrt(inputs * kernel**2), clamp, down

    def forward(self, x: Tensor, blur: Tensor, gain: float = 1.0) -> Tensor:
        # Blur with padding 2: h + 1 px, of which a 3x3 convolution with stride 2 and no padding makes h / 2.
        x = _blurred(x, blur, padding=2) if self.down else x
        padding = 0 if self.down else self.weight.shape[2] // 2
        # Leaky ReLU is positively homogeneous: the gain sqrt(2) behind it may act before, on weights and bias.
        scale = gain * math.sqrt(2)
        weight = self.weight * (self.weight_gain * scale)
        x = F.leaky_relu(F.conv2d(x, weight, self.bias * scale, stride=1 + self.down, padding=padding), SLOPE)
        # NVlabs clamp after the gain, so that the limit scales with it.
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class Skip(nn.Module):
    """The branch around a residual block: blur, every second pixel, 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.gain = math.sqrt(0.5 / inputs)  # sqrt(1/2): a sum of two branches of unit variance keeps it

    def forward(self, x: Tensor, blur: Tensor) -> Tensor:
        # Four taps with padding 1 and stride 2: h px become h / 2.
        return F.conv2d(_blurred(x, blur, padding=1, stride=2), self.weight * self.gain)


class Block(nn.Module):
    """A residual block that halves the resolution; the first one takes the image."""

    def __init__(self, inputs: int, outputs: int, image_channels: int | None, clamp: float | None) -> None:
        super().__init__()
        self.fromrgb = None if image_channels is None else Conv(image_channels, inputs, 1, clamp=clamp)
        self.conv0 = Conv(inputs, inputs, 3, clamp=clamp)
        self.conv1 = Conv(inputs, outputs, 3, clamp=clamp, down=True)
        self.skip = Skip(inputs, outputs)

    def forward(self, x: Tensor, blur: Tensor) -> Tensor:
        x = x if self.fromrgb is None else self.fromrgb(x, blur)
        # sqrt(1/2) for the other branch, as in Skip.
        return self.skip(x, blur) + self.conv1(self.conv0(x, blur), blur, gain=math.sqrt(0.5))


class Verdict(nn.Module):
    """The last layers, at 4 px: how much the images of a group vary, one convolution, two dense layers."""

    def __init__(self, channels: int, variety: int, outputs: int, clamp: float | None) -> None:
        """Build the layers; `variety` is the number of standard deviations that are appended as channels."""
        super().__init__()
        self.variety = variety
        self.conv = Conv(channels + variety, channels, 3, clamp=clamp)
        self.fc = Dense(channels * 16, channels)
        self.out = Dense(channels, outputs)

    def forward(self, x: Tensor, blur: Tensor, group: int) -> Tensor:
        if self.variety:
            # With a group of one there is no variation to measure, and the channels hold 1e-4 throughout.
            x = torch.cat([x, minibatch_deviation(x, group, self.variety).expand(-1, -1, *x.shape[2:])], dim=1)
        x = self.fc(self.conv(x, blur).flatten(1))  # channel by channel, then row by row, as in NVlabs' weights
        return self.out(F.leaky_relu(x, SLOPE) * math.sqrt(2))


def minibatch_deviation(x: Tensor, group: int, count: int) -> Tensor:
    """Return standard deviations over each group of images (Karras et al. 2018, arXiv 1710.10196, section 3).

    Args:
        x: [N, C, h, w].
        group: this many images in a row are a group; of one image they are 0 (1e-4 with the epsilon in the root).
        count: C is cut into this many parts, and each has its own mean deviation.

    Returns:
        [N, count, 1, 1], the same for all images of a group.
    """
    # [groups, group, count, C / count, h, w]: a group's images stand in a row. (NVlabs take every n-th of the batch.)
    parts = x.unflatten(1, (count, -1)).unflatten(0, (-1, group))
    deviation = (parts.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))
    # Every image of a group gets the number, as a channel: real groups vary, and a generator that draws one face for
    # all codes is found out.
    return deviation.repeat_interleave(group, dim=0)[:, :, None, None]


class StyleGAN2Discriminator(Discriminator):
    """The network. A conditional one projects its last features on the embedding of the label.

    Names: ``b{r}.*`` and ``mapping.*`` as in NVlabs' files, without filters. Configuration: ``conv_clamp`` (None),
    ``lr_multiplier`` of the mapping network (0.01).
    """

    architecture = "stylegan2"
    blur: Tensor

    def __init__(
        self,
        channels: Mapping[int, int],
        image_channels: int = 3,
        *,
        variety: int = 1,
        label_dim: int = 0,
        label_width: int = 0,
        widths: Sequence[int] = (),
        conv_clamp: float | None = None,
        lr_multiplier: float = 0.01,
    ) -> None:
        """Build the network.

        Args:
            channels: resolution -> channels there; 4, 8, ... to the image's.
            image_channels: of the image.
            variety: see :class:`Verdict`.
            label_dim: number of classes, 0 for none.
            label_width: width of the label's embedding.
            widths: output widths of the mapping network's layers.
            conv_clamp: limit of the outputs of convolutions; None for none.
            lr_multiplier: learning rate multiplier of the mapping network.
        """
        super().__init__()
        sizes = sorted(channels)
        self.resolution, self.image_channels, self.label_dim = sizes[-1], image_channels, label_dim
        for r in sizes[:0:-1]:
            first = image_channels if r == self.resolution else None
            self.add_module(f"b{r}", Block(channels[r], channels[r // 2], first, conv_clamp))
        # The mapping network takes labels only: its z has no numbers.
        self.mapping = None
        if label_dim:
            self.mapping = MappingNetwork(
                0, widths, label_dim=label_dim, label_width=label_width, lr_multiplier=lr_multiplier
            )
        self.b4 = Verdict(channels[4], variety, widths[-1] if label_dim else 1, conv_clamp)
        self.register_buffer("blur", blur_kernel(1.0), persistent=False)  # sum 1: downsampling has no zeros to fill

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN2Discriminator:
        """Return the module whose sizes fit a state dict (values are not loaded).

        Raises:
            CheckpointError: the tensors do not make such a network, or the configuration belongs to another.
        """
        for name, value in config.items():
            known = name in ("conv_clamp", "lr_multiplier")
            if not known or type(value) not in (int, float) or not 0 < value < math.inf:
                raise CheckpointError(
                    f"StyleGAN2 discriminator: {name} is {value!r}; wanted a number above 0, or no such entry"
                )
        return fitted(lambda: cls(**_sizes(state), **config), state, "residual StyleGAN2 discriminator")

    def _judge(self, images: Tensor, labels: Tensor | None, group: int) -> Tensor:
        x, r = images, self.resolution
        while r > 4:
            x, r = self.get_submodule(f"b{r}")(x, self.blur), r // 2  # each block halves the resolution
        x = self.b4(x, self.blur, group)
        if self.mapping is None:
            return x.squeeze(1)
        embedding = self.mapping(images.new_empty(len(images), 0), labels)
        # Projection discriminator (Miyato and Koyama 2018, arXiv 1802.05637): a dot product, scaled to unit variance.
        return (x * embedding).sum(dim=1) / math.sqrt(x.shape[1])


def fresh(
    resolution: int, *, channels_base: int = 16384, channels_max: int = 512, image_channels: int = 3, seed: int = 0
) -> StyleGAN2Discriminator:
    """Return an untrained discriminator as training begins: standard normal weights, biases of 0.

    Args:
        resolution: of its images, a power of two from 8 on.
        channels_base: there are ``channels_base / r`` channels at `r` px,
        channels_max: but never more than this.
        image_channels: of its images.
        seed: of the weights, which are the same on every machine.

    Raises:
        ParamsError: no network has these sizes.
    """
    sizes = [4 * 2**i for i in range(1 + int(math.log2(LARGEST // 4))) if 4 * 2**i <= resolution]
    if resolution not in sizes[1:]:
        raise ParamsError(f"discriminator: resolution {resolution}; wanted a power of two from 8 to {LARGEST}")
    if channels_base < resolution or min(channels_max, image_channels) < 1:
        raise ParamsError(
            f"discriminator: {channels_base} // {resolution} channels at most {channels_max}, {image_channels} of an "
            "image; wanted one or more of each"
        )
    network = StyleGAN2Discriminator({r: min(channels_base // r, channels_max) for r in sizes}, image_channels)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("weight"):
                value.copy_(normal([item_seed("discriminator", seed, name)], value.shape)[0])
    return network


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the network whose tensors these may be; KeyError and others where there is none."""
    blocks = sorted(int(name.split(".")[0][1:]) for name in state if name.endswith(".conv0.weight"))
    if not blocks or blocks != [8 * 2**i for i in range(len(blocks))] or blocks[-1] > LARGEST:
        raise ValueError(f"its blocks are of {blocks or 'no'} px, wanted 8, 16, ... to {LARGEST}")
    channels = {r: len(state[f"b{r}.conv0.weight"]) for r in blocks} | {4: len(state["b4.conv.weight"])}
    variety = state["b4.conv.weight"].shape[1] - channels[4]
    if min(channels.values()) < 1 or variety < 0 or (variety and channels[4] % variety):
        raise ValueError(f"{channels} channels, {variety} standard deviations")
    sizes = {"channels": channels, "image_channels": state[f"b{blocks[-1]}.fromrgb.weight"].shape[1]}
    if "mapping.embed.weight" in state:
        count = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in state)
        label_width, label_dim = state["mapping.embed.weight"].shape
        widths = [len(state[f"mapping.fc{i}.weight"]) for i in range(count)]
        sizes |= {"label_dim": label_dim, "label_width": label_width, "widths": widths}
    return cast("dict[str, Any]", {**sizes, "variety": variety})

"""Distances in the feature space of a frozen backbone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ganvert.compute.kernels import in_bfloat16, to_channels_last
from ganvert.losses.base import Loss
from ganvert.losses.lpips import load_lpips

__all__ = [
    "Gram",
    "IdInvertPerceptual",
    "Image2StyleganPerceptual",
    "Image2StyleganPlusPlusPerceptual",
    "LpipsAlex",
    "LpipsVgg",
    "gram",
]


class LpipsVgg(Loss[list[Tensor]]):
    """LPIPS v0.1 on VGG16 (Zhang et al. 2018)."""

    net = "vgg"

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        self.lpips = load_lpips(self.net, folder, device)  # type: ignore[arg-type]

    def prepare(self, target: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self.lpips.features(target)

    def __call__(self, image: Tensor, prepared: list[Tensor]) -> Tensor:
        return self.lpips.distance(image, prepared)


class LpipsAlex(LpipsVgg):
    """LPIPS v0.1 on AlexNet."""

    net = "alex"


class VggLoss(Loss[list[Tensor]]):
    """Distance of features of VGG16: the sum over some layers of the mean squared difference.

    The weights are torchvision's, and the input is normalised as its VGG16 expects.
    """

    #: Indices into torchvision's VGG16 `features`; the index of a convolution stands for its output before the ReLU.
    taps: tuple[int, ...]

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        self.lpips = load_lpips("vgg", folder, device)

    def _layers(self, net: nn.Module) -> list[nn.Module]:
        # The LPIPS package cuts torchvision's `features` into five slices; in a row they are numbered as there.
        layers = [layer for i in range(1, 6) for layer in getattr(net, f"slice{i}").children()]
        # Layers behind the last tap would be computed for nothing.
        return layers[: self.taps[-1] + 1]

    def _features(self, images: Tensor) -> list[Tensor]:
        images = self.lpips.model.scaling_layer(images)
        if not in_bfloat16(images):
            return self._run(images, self.lpips.model.net)
        with torch.autocast("cpu", enabled=False):
            return [features.float() for features in self._run(to_channels_last(images), self.lpips.bfloat16_net)]

    def _run(self, x: Tensor, net: nn.Module) -> list[Tensor]:
        features = []
        for i, layer in enumerate(self._layers(net)):
            # A tapped convolution is followed by an in-place ReLU: keep a copy of what it would overwrite.
            x = layer(x.clone()) if i - 1 in self.taps else layer(x)
            if i in self.taps:
                features.append(x)
        return features

    def prepare(self, target: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self._features(target)

    def __call__(self, image: Tensor, prepared: list[Tensor]) -> Tensor:
        layers = [(x - y).square().mean(dim=(1, 2, 3)) for x, y in zip(self._features(image), prepared, strict=True)]
        return torch.stack(layers).sum(dim=0)


class Image2StyleganPerceptual(VggLoss):
    """The perceptual loss of Image2StyleGAN (Abdal et al. 2019, eq. 2): conv1_1, conv1_2, conv3_2, conv4_2."""

    # Of torchvision: conv1_1 is 0, conv1_2 2, conv3_2 12 and conv4_2 19; the ReLUs and poolings between count too.
    taps = (0, 2, 12, 19)


class Image2StyleganPlusPlusPerceptual(VggLoss):
    """The perceptual loss of Image2StyleGAN++ (Abdal et al. 2020): conv1_1, conv1_2, conv2_2, conv3_3."""

    # conv2_2 is 7 and conv3_3 14.
    taps = (0, 2, 7, 14)


class IdInvertPerceptual(VggLoss):
    """The perceptual loss of IDInvert (Zhu et al. 2020): conv4_3 after its ReLU.

    The original's VGG16 has Caffe's weights and takes BGR in [0, 255] minus a mean; ours has torchvision's and takes
    RGB in [0, 1] minus a mean, divided by about 0.226. Its weight of 5e-5 does not carry over one to one: fed the
    original's inputs, torchvision's network makes the loss about 940 times as large (800 to 1,080 on photographs), so
    that the presets' weight is 5e-5 * 940 = 0.047. It is less than the inputs' own (255 * 0.226)^2 = 3,320 because
    biases do not grow with the inputs: units that stay above their threshold here fall below it there.
    """

    # conv4_3 is 21, its ReLU 22.
    taps = (22,)


class Gram(VggLoss):
    """The style loss of Image2StyleGAN++ (Abdal et al. 2020): squared Frobenius distance of Gram matrices of conv3_3.

    The Gram matrix F F^T of features F [C, h w] is divided by C h w (Johnson et al. 2016, eq. 3 and 4).
    """

    taps = (14,)

    def _features(self, images: Tensor) -> list[Tensor]:
        return [gram(features) for features in super()._features(images)]

    def __call__(self, image: Tensor, prepared: list[Tensor]) -> Tensor:
        (matrix,), (target,) = self._features(image), prepared
        return (matrix - target).square().sum(dim=(1, 2))


def gram(features: Tensor) -> Tensor:
    """Return Gram matrices [N, C, C] of features [N, C, h, w], divided by C h w."""
    flat = features.flatten(2)
    # Positions are summed over: which features occur together remains, where they do is lost.
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])

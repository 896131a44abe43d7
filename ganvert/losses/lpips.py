"""LPIPS v0.1 (Zhang et al. 2018) on the `lpips` package, with the target's features computed once."""

from __future__ import annotations

import ctypes
import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganvert import assets
from ganvert.base.errors import CheckpointError
from ganvert.networks.winograd import WinogradConv2d

__all__ = ["Lpips", "load_lpips"]


@cache
def _torchvision_library() -> torch.library.Library | None:
    """Let `import torchvision` succeed where its compiled operators do not fit the installed torch.

    A torchvision wheel built for CUDA cannot load its operators on a CPU-only torch; its import then fails because two
    operator schemas are missing, which nothing here calls. They are defined for as long as the result is kept.
    """
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for compiled in Path(folder).glob("_C*.so"):
            try:
                ctypes.CDLL(str(compiled))
                return None
            except OSError:
                pass  # the wheel's operators do not fit this torch: define the schemas below
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


class Lpips(nn.Module):
    """Perceptual distance of two batches (LPIPS v0.1, Zhang et al. 2018, arXiv 1801.03924), one value per pair.

    Images are RGB in [-1, 1]; with [0, 1] or BGR the values are wrong without an error.

    Args:
        net: backbone, ``vgg`` (VGG16) or ``alex``.
        folder: the asset folder with ``lpips_{net}.safetensors``.

    Raises:
        AssetError: the weights are not there.
        CheckpointError: they do not fit the backbone.
    """

    def __init__(self, net: Literal["vgg", "alex"], folder: Path | None = None) -> None:
        super().__init__()
        weights = assets.path(f"lpips_{net}.safetensors", folder)
        _torchvision_library()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips calls torchvision with arguments deprecated long ago
            import lpips

            # The package contains its linear heads. It would download the backbone, which comes from our assets.
            # The heads are those of v0.1, its default; v0.0 had a bug and did not normalise its input.
            self.model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        trunk = load_file(weights)
        convolutions = [module for module in self.model.net.modules() if isinstance(module, nn.Conv2d)]
        try:
            for i, convolution in enumerate(convolutions):
                convolution.load_state_dict({part: trunk[f"conv{i}.{part}"] for part in ("weight", "bias")})
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{weights}: does not fit LPIPS-{net}: {error}; run `ganvert fetch` again") from error
        # The deep convolutions, with 128 x 256 pairs of channels or more, take most of the time on a CPU.
        for module in list(self.model.net.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Conv2d):
                    setattr(module, name, WinogradConv2d.take(child))
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return backbone features of images [N, 3, h, w], with unit length at every pixel, one tensor per tap."""
        # ImageNet's mean and deviation, (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), for images in [-1, 1]: the
        # package subtracts 2 mean - 1 and divides by 2 deviation.
        taps = self.model.net.forward(self.model.scaling_layer(images))
        # The package adds 1e-10 to the root; inside it, the gradient at features of length 0 is finite too.
        return [tap / (tap.square().sum(dim=1, keepdim=True) + 1e-20).sqrt() for tap in taps]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Return LPIPS [N] of two lists of features (:meth:`features`): equation 1 of the paper."""
        # A head is dropout, which does nothing after training, and a 1x1 convolution without bias. Its weights are not
        # negative, so that the result is a distance.
        heads = [head.model[-1].weight for head in self.model.lins]
        layers = [
            # The mean over positions comes first: the head is linear, and then has one number for each channel.
            ((x - y).square().mean(dim=(2, 3)) * head.flatten()).sum(dim=1)
            for x, y, head in zip(a, b, heads, strict=True)
        ]
        return torch.stack(layers).sum(dim=0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return LPIPS [N] of images [N, 3, h, w] against others of the same shape; lower is closer."""
        return self.distance(self.features(x), self.features(y))


@cache
def load_lpips(net: Literal["vgg", "alex"], folder: Path | None, device: torch.device) -> Lpips:
    """Return the shared instance of a backbone, folder and device."""
    return Lpips(net, folder).to(device)

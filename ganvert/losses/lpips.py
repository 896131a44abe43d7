"""LPIPS v0.1 (Zhang et al. 2018) on the `lpips` package, with the target's features computed once."""

from __future__ import annotations

import copy
import ctypes
import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganvert import assets
from ganvert.base.errors import CheckpointError
from ganvert.compute import kernels
from ganvert.compute.kernels import in_bfloat16, to_channels_last
from ganvert.networks.blank import Blank
from ganvert.networks.winograd import WinogradConv2d

__all__ = ["Lpips", "load_lpips"]

#: The package adds 1e-10 to the length; inside the root, the gradient at features of length 0 is finite too.
_TINY = 1e-20
#: Numbers that the head takes at once: 256 KiB of float32, so that its steps find them in the second-level cache.
_CHUNK = 65_536


class _Head(torch.autograd.Function):
    """The head of one tap, features to distances, in one pass over memory; unit features and weights are constants.

    Normalisation, difference, square and weights are six passes in PyTorch's operators, and as many back: more than
    half of LPIPS where the trunk runs in bfloat16. The gradient is known as soon as the difference is. Sums and
    differences are float32 in any case, and positions are independent, so that both memory formats will do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, unit: Tensor, weight: Tensor) -> Tensor:
        positions = x.shape[2] * x.shape[3]
        gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        values = torch.zeros(len(x))
        step = max(1, _CHUNK // x.shape[1])
        for i in range(len(x)):
            features, targets = x[i].flatten(1), unit[i].flatten(1)  # [C, positions], views in both formats
            for at in range(0, positions, step):
                part = slice(at, at + step)
                numbers = features[:, part].float()
                inverse = (numbers.square().sum(dim=0) + _TINY).rsqrt()
                numbers = numbers * inverse
                difference = numbers - targets[:, part]
                slope = difference * weight[:, None]
                values[i] += (slope * difference).sum()
                if gradient is not None:
                    # The derivative of x / |x| is (1 - u u^T) / |x|, u the unit vector.
                    slope -= numbers * (numbers * slope).sum(dim=0)
                    gradient[i].flatten(1)[:, part] = slope * (inverse * (2 / positions))
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return values / positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad[:, None, None, None].to(gradient.dtype), None, None


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
        with warnings.catch_warnings(), Blank():
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

    @cached_property
    def bfloat16_net(self) -> nn.Module:
        """The backbone in bfloat16 with channels last, cast once (:func:`ganvert.compute.kernels.in_bfloat16`)."""
        net = copy.deepcopy(self.model.net)
        return cast(nn.Module, net.to(torch.bfloat16, memory_format=torch.channels_last))

    def taps(self, images: Tensor) -> Sequence[Tensor]:
        """Return backbone features of images [N, 3, h, w], one tensor per tap; in bfloat16 where that is on."""
        # ImageNet's mean and deviation, (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), for images in [-1, 1]: the
        # package subtracts 2 mean - 1 and divides by 2 deviation.
        images = self.model.scaling_layer(images)
        if not in_bfloat16(images):
            return cast("Sequence[Tensor]", self.model.net.forward(images))
        with torch.autocast("cpu", enabled=False):
            return cast("Sequence[Tensor]", self.bfloat16_net.forward(to_channels_last(images)))

    def features(self, images: Tensor) -> list[Tensor]:
        """Return float32 features of images [N, 3, h, w], with unit length at every pixel, one tensor per tap."""
        return [_unit(tap.float()) for tap in self.taps(images)]

    def distance(self, images: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return LPIPS [N] of images [N, 3, h, w] to the :meth:`features` of others: equation 1 of the paper."""
        # A head is dropout, which does nothing after training, and a 1x1 convolution without bias. Its weights are not
        # negative, so that the result is a distance.
        heads = [head.model[-1].weight.flatten() for head in self.model.lins]
        layers = []
        for x, target, head in zip(self.taps(images), features, heads, strict=True):
            if x.device.type == "cpu" and kernels.ENABLED and not target.requires_grad:
                layers.append(cast(Tensor, _Head.apply(x, target, head)))
            else:
                # The mean over positions comes first: the head is linear, and then has one number for each channel.
                layers.append(((_unit(x.float()) - target).square().mean(dim=(2, 3)) * head).sum(dim=1))
        return torch.stack(layers).sum(dim=0)

    def maps(self, images: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return where images [N, 3, h, w] differ from others of which these are the :meth:`features`: [N, 1, h, w].

        Equation 1 without its mean over positions: the maps of all layers, each enlarged bilinearly, added up.
        """
        total = images.new_zeros(len(images), 1, *images.shape[2:])
        for x, target, head in zip(self.taps(images), features, self.model.lins, strict=True):
            weights = head.model[-1].weight.flatten()
            layer = torch.einsum("nchw,c->nhw", (_unit(x.float()) - target).square(), weights)[:, None]
            total = total + F.interpolate(layer, size=images.shape[2:], mode="bilinear", align_corners=False)
        return total

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return LPIPS [N] of images [N, 3, h, w] against others of the same shape; lower is closer."""
        return self.distance(x, self.features(y))


def _unit(features: Tensor) -> Tensor:
    """Return features [N, C, h, w] with unit length at every pixel."""
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY).sqrt()


@cache
def load_lpips(net: Literal["vgg", "alex"], folder: Path | None, device: torch.device) -> Lpips:
    """Return the shared instance of a backbone, folder and device."""
    return Lpips(net, folder).to(device)

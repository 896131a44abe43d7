"""A small output head on a mid-network feature: the generator's 256 px picture for a fraction of its cost.

Four fifths of a synthesis step at 1024 px are spent in the last two layers, which barely move the 256 px picture that
losses look at. The head draws that picture from an earlier feature and the rows of ws that come after it. It is
trained once per generator on the generator's own samples, is used for early optimisation steps and for training
encoders, and is never used for a result.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ganvert.errors import CheckpointError
from ganvert.files import atomic_path
from ganvert.generators import read_weights
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import SeparableConv, ToImage

__all__ = ["Preview"]


class Preview(nn.Module):
    """Draws [N, 3, 2r, 2r] from the feature at `point` (resolution r) and the mean of the later rows of ws."""

    def __init__(self, generator: Generator, point: str) -> None:
        super().__init__()
        points = {entry.name: entry for entry in generator.feature_points}
        if point not in points:
            raise CheckpointError(f"preview: the generator has no feature point {point!r}; it has {', '.join(points)}")
        channels, size, _ = points[point].shape
        self.point, self.resolution = point, 2 * size
        self.first_row = points[point].first_row
        self.conv = SeparableConv(generator.w_dim, channels, channels, size)
        self.to_img = ToImage(generator.w_dim, channels)
        self.conv.noise.zero_()

    def initialise_(self, seed: int) -> None:
        """Random weights at which styles are one and activations keep their size."""
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            for part in (self.conv, self.to_img):
                part.affine.bias.fill_(1)
            self.conv.depthwise[:, :, 1, 1] = 3  # identity, times the 1/3 that `scale` holds
            for weight in (self.conv.pointwise, self.to_img.weight):
                weight.copy_(torch.randn(weight.shape, generator=source))

    def forward(self, feature: Tensor, ws: Tensor) -> Tensor:
        """The picture from a feature [N, c, r, r] and ws [N, num_ws, w_dim]."""
        style = ws[:, self.first_row :].mean(dim=1)
        x = self.conv(feature, self.conv.affine(style), None)
        return self.to_img(x, self.to_img.affine(style))

    def draw(self, generator: Generator, told: SynthesisInput) -> Tensor:
        """Run the generator as far as needed, then the head."""
        if told.ws is None:
            raise CheckpointError("a preview needs ws; styles alone do not say what comes after its feature")
        feature = generator.features(told, [self.point])[self.point]
        return self(feature, told.ws)

    def save(self, path: Path, generator: Generator, note: str) -> None:
        """Half-precision safetensors with the generator's fingerprint."""
        state = {name: value.half().contiguous() for name, value in self.state_dict().items() if name != "conv.noise"}
        metadata = {"kind": "preview", "point": self.point, "generator": generator.fingerprint(), "note": note}
        with atomic_path(path) as temporary:
            save_file(state, temporary, metadata)

    @classmethod
    def load(cls, path: Path, generator: Generator) -> Preview:
        """Read a head and refuse one that belongs to another generator."""
        state, metadata = read_weights(path)
        if metadata.get("kind") != "preview":
            raise CheckpointError(f"{path}: not a preview head")
        if metadata["generator"] != generator.fingerprint():
            raise CheckpointError(
                f"{path}: made for another generator ({metadata['generator'][:12]}); "
                "train one for this generator or set preview_steps: 0"
            )
        preview = cls(generator, metadata["point"])
        preview.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
        return preview.eval().requires_grad_(False)


def preview_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """[N] what a head is trained on: squared error, plus absolute error of 2x2 means (tones before texture)."""
    fine = (drawn - target).square().mean(dim=(1, 2, 3))
    return fine + (F.avg_pool2d(drawn - target, 2)).abs().mean(dim=(1, 2, 3)) * 0.1

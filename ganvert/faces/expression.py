"""Seven expressions of a face, by the small network of face-api (MIT), which comes with ganvert.

Four dense blocks of depthwise-separable convolutions halve a picture of 112 px to 7 px; their mean and a linear layer
give the logits. The weights are stored as they were published: 8 bits a number with a scale and a minimum per tensor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ganvert.assets.shipped import shipped
from ganvert.base.errors import AssetError, CheckpointError
from ganvert.checkpoints.weights import read_weights
from ganvert.networks.blank import Blank

__all__ = ["EXPRESSIONS", "EXPRESSION_FILE", "ExpressionNet", "log_odds"]

EXPRESSION_FILE = "expression.safetensors"
#: In the order of the network's outputs.
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
PX = 112  # side of the network's input
PADDED = 1.2  # side of the square that is cut out, in sides of the landmarks' box, as face-api has it
MEAN = (122.782, 117.001, 104.298)  # RGB
WIDTHS = (32, 64, 128, 256)


class ExpressionNet(nn.Module):
    """Logits of :data:`EXPRESSIONS`.

    Args:
        path: of the weights; None for the shipped ones.

    Raises:
        AssetError: the file is missing or damaged.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        path = shipped(EXPRESSION_FILE) if path is None else path
        with Blank():
            self.blocks = nn.Sequential(
                *(_Block(c_in, c_out, first=c_in == 3) for c_in, c_out in zip((3, *WIDTHS), WIDTHS, strict=False))
            )
            self.classify = nn.Linear(WIDTHS[-1], len(EXPRESSIONS))
        try:
            self.load_state_dict(_restored(read_weights(path)[0]))
        except (CheckpointError, RuntimeError, KeyError) as error:
            raise AssetError(f"{path}: not the expression network ({error}); install ganvert again") from error
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB [N, 3, 112, 112] in [0, 255] to logits [N, 7]."""
        x = (images - images.new_tensor(MEAN).view(1, 3, 1, 1)) / 255
        return self.classify(self.blocks(x).mean(dim=(2, 3)))

    @torch.no_grad()
    def logits(self, image: Image.Image, landmarks: np.ndarray) -> np.ndarray:
        """Return the logits [7], float64, of the face with these landmarks [68, 2], in pixels of the image."""
        low, high = landmarks.min(0), landmarks.max(0)
        half = float((high - low).max()) / 2 * PADDED
        left, top = (low + high) / 2 - half + 0.5  # from pixel centres to coordinates that count pixel edges
        size, box = (PX, PX), (left, top, left + 2 * half, top + 2 * half)
        # The transform fills with black outside of the image but does not filter: shrink by resize where all is inside.
        if min(left, top) >= 0 and left + 2 * half <= image.width and top + 2 * half <= image.height:
            chip = image.convert("RGB").resize(size, Image.Resampling.BILINEAR, box=box)
        else:
            chip = image.convert("RGB").transform(size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(chip)).permute(2, 0, 1)[None].float()
        return self(pixels)[0].double().numpy()


def log_odds(logits: np.ndarray, expression: str) -> float:
    """Return log p - log(1 - p) of an expression, from logits [7], finite however sure the network is."""
    i = EXPRESSIONS.index(expression)
    return float(logits[i] - np.logaddexp.reduce(np.delete(logits, i)))


class _Separable(nn.Sequential):
    """A 3x3 convolution of each channel, then a 1x1 convolution of all."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_in, 3, stride=stride, padding=1 if stride == 1 else 0, groups=c_in, bias=False),
            nn.Conv2d(c_in, c_out, 1),
        )


class _Block(nn.Module):
    """Four convolutions, the first of stride 2; each takes the ReLU of the sum of all before it."""

    def __init__(self, c_in: int, c_out: int, *, first: bool) -> None:
        super().__init__()
        halve = nn.Conv2d(c_in, c_out, 3, stride=2) if first else _Separable(c_in, c_out, 2)
        self.layers = nn.ModuleList([halve, *(_Separable(c_out, c_out) for _ in range(3))])

    def forward(self, x: Tensor) -> Tensor:
        # TensorFlow's padding "same" at stride 2: an even side needs one pixel, at the right and at the bottom.
        total = torch.relu(self.layers[0](F.pad(x, (0, 1, 0, 1))))
        x = total
        for layer in list(self.layers)[1:]:
            total = total + layer(x)
            x = torch.relu(total)
        return x


def _restored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 tensors: 8 bits times the scale plus the minimum, which lie beside them as ``NAME.range``."""
    restored = {}
    for name, value in state.items():
        if name.endswith(".range"):
            continue
        scale, low = state[f"{name}.range"] if value.dtype == torch.uint8 else (1, 0)
        restored[name] = value.float() * scale + low
    return restored

"""MTCNN (Zhang et al. 2016, arXiv 1604.02878): a cascade of three small networks that finds faces and five points.

It finds turned, half hidden and blurred faces for which dlib's frontal detector has no template.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ganvert.faces.weights import load_in_order
from ganvert.images import from_pil
from ganvert.networks.blank import Blank

__all__ = ["MTCNN_FILE", "FoundFace", "Mtcnn"]

MTCNN_FILE = "mtcnn.safetensors"
CELL, STRIDE = 12, 2  # px; the field of view of the first network, and the step between its windows
SHRINK = 0.709  # of the pyramid's levels: half the area each
WINDOWS = 4096  # that go through the second and third network at once


@dataclasses.dataclass(frozen=True, eq=False)
class FoundFace:
    """A face as MTCNN describes it; integers are pixel centres.

    Attributes:
        box: float64 [4], left, top, right, bottom: from the forehead to the chin.
        score: probability of a face according to the last network.
        points: float64 [5, 2] (x, y): eyes, tip of the nose, corners of the mouth, each pair left to right as seen.
    """

    box: np.ndarray
    score: float
    points: np.ndarray


class Mtcnn(nn.Module):
    """Finds faces; independent of what else is in the picture's batch, as it takes one picture at a time.

    Args:
        folder: of the assets.
        min_face: smallest face that is looked for [px].
        thresholds: least probability of a face after each network.

    Raises:
        AssetError: the weights are missing or damaged.
        CheckpointError: they are of another network.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        min_face: int = 20,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    ) -> None:
        super().__init__()
        self.min_face, self.thresholds = min_face, thresholds
        # Every network ends in logits of no face and face, corrections of the box and, the last, five points.
        with Blank():
            self.propose = nn.ModuleList([_trunk([(3, 10, 3, 2), (10, 16, 3, 0), (16, 32, 3, 0)])])
            self.propose += [nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)]
            self.refine = nn.ModuleList([_trunk([(3, 28, 3, 3), (28, 48, 3, 3), (48, 64, 2, 0)], (576, 128))])
            self.refine += [nn.Linear(128, 2), nn.Linear(128, 4)]
            wide = [(3, 32, 3, 3), (32, 64, 3, 3), (64, 64, 3, 2), (64, 128, 2, 0)]
            self.decide = nn.ModuleList([_trunk(wide, (1152, 256)), nn.Linear(256, 2), nn.Linear(256, 4)])
            self.decide.append(nn.Linear(256, 10))
        load_in_order(self, MTCNN_FILE, folder)
        self.eval().requires_grad_(False)

    def detect(self, image: Image.Image) -> list[FoundFace]:
        """Find faces, the most certain first.

        Args:
            image: RGB; its time grows with its pixels.
        """
        if min(image.size) < CELL:
            return []
        # The original divides (RGB - 127.5) by 128.
        picture = from_pil([image]) * (127.5 / 128)
        boxes = self._proposals(picture)
        for network, size, threshold in ((self.refine, 24, self.thresholds[1]), (self.decide, 48, self.thresholds[2])):
            boxes = _square(boxes)
            outputs = [self._look(network, picture, part, size) for part in boxes.split(WINDOWS)]
            scores, offsets, *points = (torch.cat(parts) for parts in zip(*outputs, strict=True))
            keep = scores > threshold
            boxes, scores, offsets = boxes[keep], scores[keep], offsets[keep]
            sides = (boxes[:, 2:] - boxes[:, :2]).unsqueeze(1)
            five = [boxes[:, None, :2] + part[keep].unflatten(1, (2, 5)).mT * sides for part in points]
            boxes = boxes + offsets * sides.repeat(1, 1, 2).squeeze(1)
            # The last look asks whether one box lies in another, as a whole face around its own middle does.
            kept = _suppress(boxes, scores, 0.7, contained=bool(points))
            boxes, scores, five = boxes[kept], scores[kept], [part[kept] for part in five]
        return [
            FoundFace(box - 0.5, float(score), place - 0.5)
            for box, score, place in zip(boxes.double().numpy(), scores, five[0].double().numpy(), strict=True)
        ]

    def _proposals(self, picture: Tensor) -> Tensor:
        """Return boxes [N, 4] in coordinates of pixel edges from all levels of the pyramid."""
        height, width = picture.shape[2:]
        found, scale = [(torch.zeros(0, 4), torch.zeros(0))], CELL / self.min_face
        while min(height, width) * scale >= CELL:
            size = int(height * scale), int(width * scale)
            trunk, face, correct = self.propose
            activations = trunk(F.interpolate(picture, size, mode="area"))
            scores = face(activations).softmax(1)[0, 1]
            rows, columns = (scores > self.thresholds[0]).nonzero(as_tuple=True)
            corners = torch.stack([columns, rows], 1) * STRIDE
            cells = torch.cat([corners, corners + CELL], 1) / torch.tensor([size[1] / width, size[0] / height] * 2)
            sides = (cells[:, 2:] - cells[:, :2]).repeat(1, 2)
            boxes, scores = cells + correct(activations)[0, :, rows, columns].T * sides, scores[rows, columns]
            kept = _suppress(cells, scores, 0.5)
            found.append((boxes[kept], scores[kept]))
            scale *= SHRINK
        boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        return boxes[_suppress(boxes, scores, 0.7)]

    def _look(self, network: nn.ModuleList, picture: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, ...]:
        """Return probabilities of a face [N], corrections [N, 4] and, of the last network, points [N, 10]."""
        windows = [_window(picture, box, size) for box in boxes.round().int().tolist()]
        trunk, face, *others = network
        activations = trunk(torch.cat(windows) if windows else picture.new_zeros(0, 3, size, size))
        return face(activations).softmax(1)[:, 1], *(head(activations) for head in others)


def _trunk(convs: list[tuple[int, int, int, int]], dense: tuple[int, int] | None = None) -> nn.Sequential:
    """Return convolutions of (inputs, outputs, size, size of the pooling behind or 0), and a dense layer."""
    layers: list[nn.Module] = []
    for inputs, outputs, size, pool in convs:
        layers += [nn.Conv2d(inputs, outputs, size), nn.PReLU(outputs)]
        if pool:
            layers.append(nn.MaxPool2d(pool, 2, ceil_mode=True))
    if dense is not None:
        layers += [nn.Flatten(), nn.Linear(*dense), nn.PReLU(dense[1])]
    return nn.Sequential(*layers)


def _window(picture: Tensor, box: list[int], size: int) -> Tensor:
    """Return the part of a picture in a box as [1, 3, size, size]; mid grey where the box leaves the picture."""
    height, width = picture.shape[2:]
    left, top, right, bottom = box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)
    inside = picture[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    around = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    if not inside.numel():
        return picture.new_zeros(1, 3, size, size)
    return F.interpolate(F.pad(inside, around), (size, size), mode="area")


def _square(boxes: Tensor) -> Tensor:
    """Return boxes with the same centres, as high and as wide as the longer of both sides."""
    centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centres - half, centres + half], 1)


def _suppress(boxes: Tensor, scores: Tensor, limit: float, *, contained: bool = False) -> Tensor:
    """Return the indices of boxes that overlap no better one by more than `limit`, best first.

    Overlap is the common area over the area of both together, with `contained` over that of the smaller one.
    """
    order = scores.sort(descending=True, stable=True).indices
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        common = torch.minimum(boxes[best, 2:], boxes[order, 2:]) - torch.maximum(boxes[best, :2], boxes[order, :2])
        shared = common.clamp(min=0).prod(1)
        whole = torch.minimum(areas[best], areas[order]) if contained else areas[best] + areas[order] - shared
        order = order[shared <= limit * whole]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)

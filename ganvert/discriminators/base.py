"""The contract of discriminators: one logit for each image, whatever else is in the batch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

from torch import Tensor, nn

from ganvert.base.errors import ShapeError
from ganvert.generators.base import check_shape, labels_for

__all__ = ["Discriminator"]


class Discriminator(nn.Module, ABC):
    """Tells images of a dataset from images that a generator drew; its parameters can be trained.

    Attributes:
        resolution: of its images, in pixels.
        image_channels: of its images.
        label_dim: classes of a conditional discriminator, 0 for others.
        label: the class that is taken where no labels are given; None requires labels.
    """

    architecture: str
    resolution: int
    image_channels: int = 3
    label_dim: int = 0
    label: int | None = None

    @abstractmethod
    def _judge(self, images: Tensor, labels: Tensor | None, group: int) -> Tensor:
        """Run the network itself; see :meth:`forward`."""

    def forward(self, images: Tensor, labels: Tensor | None = None, group: int = 1) -> Tensor:
        """Return how real each image looks.

        Args:
            images: [N, image_channels, resolution, resolution], RGB about [-1, 1].
            labels: [N, label_dim], usually one-hot; only conditional discriminators take them. Without them its own
                ``label`` is taken.
            group: how many images are judged together: the first `group` of the batch, the next `group`, and so on.
                With 1 each is judged alone, and its logit does not depend on the batch. StyleGANs were trained with
                groups of 4, whose variation is an input of the last layers (Karras et al. 2018, section 3).

        Returns:
            Logits [N], larger for real images.

        Raises:
            ShapeError: images or labels have another shape, or do not make groups of that size.
            UnsupportedError: labels for a network without classes, or none for one with classes.
        """
        check_shape(images, (None, self.image_channels, self.resolution, self.resolution), "images")
        # A smaller group at the end would have statistics that the network was not trained with.
        if group < 1 or len(images) % group:
            raise ShapeError(f"images: wanted groups of {group}, got {len(images)}")
        labels = labels_for(images, labels, self.label_dim, self.label, f"discriminator {self.architecture}")
        return self._judge(images, labels, group)

    def fingerprint(self) -> str:
        """Return sha256 over architecture, and names, shapes and values of all weights."""
        # By name, so that the order of tensors in a file does not matter.
        digest = hashlib.sha256(self.architecture.encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

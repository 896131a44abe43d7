"""Several encoders used as one: for example rows of W+ from one file and a feature map from another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.encoders.base import Encoder
from ganvert.encoders.heads import Prediction
from ganvert.images import area_resize

__all__ = ["JointEncoder"]


class JointEncoder:
    """Encoders of one generator whose predictions are merged. Later encoders override earlier ones.

    Attributes:
        members: the encoders.
        input_px: side of the images that :meth:`rows` wants: the largest of the members'.
    """

    def __init__(self, members: Sequence[Encoder]) -> None:
        """Raises ParamsError without a member, or with members of different generators."""
        if not members or len({member.generator_fingerprint for member in members}) > 1:
            raise ParamsError("joint encoder: wanted at least one encoder, all of the same generator")
        self.members = tuple(members)
        self.input_px = max(member.input_px for member in members)
        self._rows_member: Encoder | None = None

    @property
    def parts(self) -> set[str]:
        """Names of the parts of a code that any of the members predicts."""
        return set[str]().union(*(member.parts for member in self.members))

    def encode(self, images: Tensor) -> Prediction:
        """Return the prediction of square RGB images of any size in [-1, 1], resized for each member."""
        prediction: Prediction = {}
        for member in self.members:
            prediction |= member.encode(images)
        return prediction

    def rows(self, images: Tensor) -> Tensor:
        """Return the ws [N, num_ws, w_dim] of the last member that predicts them; differentiable.

        Args:
            images: [N, 3, h, h] in [-1, 1].

        Raises:
            UnsupportedError: no member predicts ws.
        """
        others: list[str] = []
        for member in [self._rows_member] if self._rows_member else reversed(self.members):
            prediction = member(area_resize(images, member.input_px))
            if "ws" in prediction:
                self._rows_member = member  # later calls skip the other members
                return prediction["ws"]
            others += prediction
        raise UnsupportedError(f"the encoder predicts {', '.join(others)}, not ws: choose another one, or add one")

    def fingerprint(self) -> str:
        """Return the fingerprint of a single member, or the sha256 of all members' in their order."""
        fingerprints = [member.fingerprint() for member in self.members]
        return (
            fingerprints[0] if len(fingerprints) == 1 else hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()
        )

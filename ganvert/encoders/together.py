"""Several encoders as one: rows of W+ from one file and a feature map from another, say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.encoders.base import Encoder
from ganvert.encoders.heads import Prediction
from ganvert.images import area_resize

__all__ = ["Encoders"]


class Encoders:
    """Encoders of one generator, asked in turn. Where two say the same part of a code, the later one is believed.

    Attributes:
        members: the encoders.
        input_px: side of the pictures that :meth:`rows` wants: the largest of the members'.
    """

    def __init__(self, members: Sequence[Encoder]) -> None:
        """ParamsError without a member, or with members of different generators."""
        if not members or len({member.generator_fingerprint for member in members}) > 1:
            raise ParamsError("encoders together: wanted at least one, all of the same generator")
        self.members = tuple(members)
        self.input_px = max(member.input_px for member in members)
        self._of_rows: Encoder | None = None

    def encode(self, images: Tensor) -> Prediction:
        """The prediction of RGB pictures of any square size, each member seeing them at its own."""
        prediction: Prediction = {}
        for member in self.members:
            prediction |= member.encode(images)
        return prediction

    def rows(self, images: Tensor) -> Tensor:
        """The ws [N, num_ws, w_dim] of pictures [N, 3, h, h], from the last member that says them; differentiable.

        UnsupportedError if none does.
        """
        said: list[str] = []
        for member in [self._of_rows] if self._of_rows else reversed(self.members):
            prediction = member(area_resize(images, member.input_px))
            if "ws" in prediction:
                self._of_rows = member  # the others need not be asked again
                return prediction["ws"]
            said += prediction
        raise UnsupportedError(f"the encoder predicts {', '.join(said)}, not ws: choose another one, or add one")

    def fingerprint(self) -> str:
        """That of the only member, or sha256 of those of all in their order."""
        each = [member.fingerprint() for member in self.members]
        return each[0] if len(each) == 1 else hashlib.sha256("\n".join(each).encode()).hexdigest()

"""Reconstructions of a prediction, drawn with gradients: by the generator, or by the draft that stands in for it."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvert.compute.precision import Engine, Speed
from ganvert.encoders import Prediction
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import as_rgb
from ganvert.spaces import Space
from ganvert.spaces.feature import point_of_size
from ganvert.training.batch import StepBatch
from ganvert.training.data import Data
from ganvert.training.draft import Draft
from ganvert.training.options import TrainOptions

__all__ = ["Reconstructor", "own_feature"]


def own_feature(generator: Generator, ws: Tensor, name: str) -> Tensor:
    """Return the generator's own feature "fSIZE" of ws [N, num_ws, w_dim], [N, c, SIZE, SIZE]."""
    point = point_of_size(generator, int(name[1:])).name
    return generator.features(SynthesisInput(ws=ws), [point])[point]


class Reconstructor:
    """Draws predictions in the encoder's space, or in the second space of ``also``.

    Attributes:
        also: the second space; None without one.
        engine: draws the generator's pictures.
    """

    def __init__(
        self, options: TrainOptions, data: Data, space: Space, also: Space | None, draft: Draft | None
    ) -> None:
        """`draft` draws in place of the generator; both see the whole prediction."""
        self.options, self.data, self.space, self.also, self.draft = options, data, space, also, draft
        self.generator = data.generator
        judged = options.adversary is not None and options.adversary.kind == "picture"
        # A draft has a network of its own. A discriminator would tell pictures from photographs by their rounding.
        precision = "float32" if draft or judged else options.picture_precision
        self.engine = Engine(self.generator, Speed(precision=precision))
        # No larger than the targets, which saves a fifteenth of a step; a discriminator of pictures may want more.
        self.px = None if judged else options.data.px

    def __call__(self, batch: StepBatch, prediction: Prediction, space: Space | None = None) -> Tensor:
        """Return the reconstructions [n, 3, r, r] about [-1, 1] of the images ``batch.drawn``."""
        space = space or self.space
        chosen = {name: value[batch.drawn] for name, value in prediction.items()}
        if "ws" not in chosen:  # a base code alone: the rows behind it are the sample's own (BDInvert)
            chosen["ws"] = self.data.ws_of([batch.items[i].index for i in batch.drawn])
        # FeatureStyleEncoder: the predicted feature replaces the generator's own over `fade` steps (10,000 in the
        # release), so that early, wrong features do not spoil what the rows learn.
        fade = min(1.0, (batch.number + 1) / self.options.fade) if self.options.fade else 1.0
        if fade < 1:
            for name in [name for name in chosen if name[0] == "f"]:
                chosen[name] = torch.lerp(own_feature(self.generator, chosen["ws"], name), chosen[name], fade)
        synthesis_input = space.decode(space.adopt(chosen, [0] * len(batch.drawn)))
        if self.draft:
            return self.draft.draw(self.generator, synthesis_input)
        return self.picture(synthesis_input)

    def picture(self, synthesis_input: SynthesisInput) -> Tensor:
        """Return the generator's pictures as they are compared, [n, 3, r, r]."""
        return as_rgb(self.engine.synthesize(synthesis_input, px=self.px))

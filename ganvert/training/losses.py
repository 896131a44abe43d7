"""The losses of encoder training: one function each, one number per image; :class:`Losses` lists those in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvert.compute.random import normal
from ganvert.encoders import Prediction
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize, as_rgb
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.objective import Objective
from ganvert.training.adversary import Adversary
from ganvert.training.batch import StepBatch, Subject
from ganvert.training.data import Data
from ganvert.training.options import TrainOptions
from ganvert.training.penalties import PREDICTION_PENALTIES
from ganvert.training.reconstruct import Reconstructor, own_feature

__all__ = ["Loss", "Losses", "feature_loss", "latent_loss", "own_feature_loss", "w_spread"]

#: Samples whose features give the mean square that ``feature`` is divided by.
_FEATURE_SAMPLES = 32
#: Samples whose pictures decide whether a lower precision is near enough.
_PROBED = 2
#: Samples whose w's give the spread that ``latent`` is divided by.
_SPREAD_SAMPLES = 4096


@dataclasses.dataclass(frozen=True)
class Loss:
    """One part of the total.

    Attributes:
        weight: of this part.
        values: [n], one number per image of `subject` in this process's share.
        subject: which images they are of.
    """

    weight: float
    values: Tensor
    subject: Subject


def latent_loss(ws: Tensor, truth: Tensor, spread: Tensor) -> Tensor:
    """Return the mean squared error of ws in units of the spread of w: 1 is what predicting w_avg costs.

    Args:
        ws: predicted, [n, num_ws, w_dim].
        truth: what the samples were drawn from, of the same shape.
        spread: standard deviations, see :func:`w_spread`.

    Returns:
        [n].
    """
    return ((ws - truth) / spread).square().mean(dim=(1, 2))


def feature_loss(feature: Tensor, truth: Tensor, mean_square: Tensor) -> Tensor:
    """Return the mean squared error of a feature map over the mean square of such maps.

    Args:
        feature: predicted, [n, c, h, w].
        truth: the samples' own, of the same shape.
        mean_square: of the generator's own maps; activations of StyleGAN have no fixed scale.

    Returns:
        [n].
    """
    return (feature - truth).square().mean(dim=(1, 2, 3)) / mean_square


def own_feature_loss(feature: Tensor, own: Tensor) -> Tensor:
    """Return the mean squared distance of a predicted feature from that of the predicted rows, [n].

    It keeps feature and rows of one code consistent (FeatureStyleEncoder, Yao et al. 2022); both [n, c, h, w].
    """
    return (feature - own).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def w_spread(generator: Generator) -> Tensor:
    """Return the standard deviation of every coordinate of w, at least a hundredth of the largest.

    The floor keeps a coordinate that hardly varies from dominating the loss.

    Returns:
        [w_dim]; [num_ws, w_dim] where the mapping gives every row its own w.
    """
    # Fixed seeds, so that a weight means the same in every run; in parts, because of the memory of the mapping.
    z = normal(range(_SPREAD_SAMPLES), (generator.z_dim,)).to(generator.w_avg)
    spread = torch.cat([generator.map_to_w(part) for part in z.split(1024)]).std(dim=0)
    return spread.clamp_min(float(spread.max()) / 100)


class Losses:
    """The losses that a training's options ask for."""

    def __init__(
        self,
        options: TrainOptions,
        data: Data,
        reconstructor: Reconstructor,
        adversary: Adversary | None,
        folder: Path | None,
    ) -> None:
        """`folder` is the asset folder, for losses of images that have weights."""
        self.options, self.data, self.reconstructor, self.adversary = options, data, reconstructor, adversary
        self.generator = data.generator
        self.context = Context(generator=self.generator, folder=folder)
        self.spread = w_spread(self.generator) if options.latent else None
        self._mean_squares: dict[str, Tensor] = {}
        if options.objective:
            reconstructor.engine.settle("pictures", self._probed)

    def __call__(self, batch: StepBatch, prediction: Prediction) -> tuple[dict[str, Loss], Tensor]:
        """Return the losses of a prediction by name, and the reconstructions [n, C, r, r] that were drawn for them."""
        losses = self.of_samples(batch, prediction) | self.of_prediction(prediction)
        images, drawn = self.of_images(batch, prediction)
        losses |= images
        if self.adversary:
            losses["adversary"] = self.of_adversary(prediction, drawn)
        return losses, drawn

    def of_samples(self, batch: StepBatch, prediction: Prediction) -> dict[str, Loss]:
        """Return the losses against the codes that samples were drawn from: nothing needs to be drawn for them."""
        if not batch.samples or not (self.options.latent or self.options.feature):
            return {}
        losses: dict[str, Loss] = {}
        truth = self.data.ws_of([batch.items[i].index for i in batch.samples])
        if self.spread is not None:
            values = latent_loss(prediction["ws"][batch.samples], truth, self.spread)
            losses["latent"] = Loss(self.options.latent, values, "sample")
        if self.options.feature:
            for name, feature in features_of(prediction).items():
                own = own_feature(self.generator, truth, name)
                values = feature_loss(feature[batch.samples], own, self.mean_square(name))
                losses[f"feature {name}"] = Loss(self.options.feature, values, "sample")
        return losses

    def of_prediction(self, prediction: Prediction) -> dict[str, Loss]:
        """Return the penalties of a prediction, which need nothing to compare with."""
        losses = {
            name: Loss(weight, PREDICTION_PENALTIES[name](prediction, self.generator.w_avg), "all")
            for name, weight in self.options.regularise.items()
        }
        if self.options.own_feature:
            for name, feature in features_of(prediction).items():
                # The rows get no gradient here: the feature is to follow them, not the reverse.
                own = own_feature(self.generator, prediction["ws"].detach(), name)
                losses[f"own {name}"] = Loss(self.options.own_feature, own_feature_loss(feature, own), "all")
        return losses

    def of_images(self, batch: StepBatch, prediction: Prediction) -> tuple[dict[str, Loss], Tensor]:
        """Return the losses of reconstructions, and the reconstructions; none of either where nothing is drawn.

        With `at_once` the reconstructions are forgotten again, a few at a time.
        """
        if not (self.options.draws and batch.drawn):
            return {}, batch.target[:0]
        if not (size := self.options.at_once):
            return self._of_drawn(batch, prediction)
        some = [dataclasses.replace(batch, drawn=batch.drawn[i : i + size]) for i in range(0, len(batch.drawn), size)]
        parts = [self._forgotten(part, prediction) for part in some]
        whole = {
            name: dataclasses.replace(loss, values=torch.cat([part[name].values for part in parts]))
            for name, loss in parts[0].items()
        }
        return whole, batch.target[:0]

    def _of_drawn(self, batch: StepBatch, prediction: Prediction) -> tuple[dict[str, Loss], Tensor]:
        drawn = self.reconstructor(batch, prediction)
        losses: dict[str, Loss] = {}
        if self.options.objective:
            compared = self._comparison(batch.target[batch.drawn], drawn.shape[-1])
            # The objective's terms have their weights inside.
            losses["picture"] = Loss(1.0, compared(drawn), self.options.subject)
            if self.reconstructor.also is not None:
                plain = self.reconstructor(batch, prediction, self.reconstructor.also)
                name = f"picture in {self.reconstructor.also.name}"
                losses[name] = Loss(1.0, compared(plain), self.options.subject)
        return losses, drawn

    def _comparison(self, targets: Tensor, limit: int) -> Callable[[Tensor], Tensor]:
        """Return the objective [n] of images beside targets, both at the precision in which images are drawn."""
        engine, batch = self.reconstructor.engine, Batch(targets=targets, seeds=[0] * len(targets))
        with engine.autocast():
            objective = Objective(self.options.objective, batch, self.context, limit)

        def compared(images: Tensor) -> Tensor:
            with engine.autocast():
                return objective(images)

        return compared

    def _probed(self) -> tuple[Tensor, Tensor]:
        """Return objective and gradient of two samples against two others.

        They are the same in every process and after every stop, whatever the encoder has learnt until then.
        """
        z = normal(range(2 * _PROBED), (self.generator.z_dim,)).to(self.generator.w_avg)
        ws, others = self.generator.map(z).split(_PROBED)
        px = self.options.data.px
        with torch.no_grad():
            targets = area_resize(as_rgb(self.generator.synthesize(SynthesisInput(ws=others), px=px)), px)
        ws = ws.detach().requires_grad_()
        values = self._comparison(targets, px)(self.reconstructor.picture(SynthesisInput(ws=ws)))
        (gradient,) = torch.autograd.grad(values.sum(), [ws])
        return values.detach(), gradient.flatten(1)

    def _forgotten(self, batch: StepBatch, prediction: Prediction) -> dict[str, Loss]:
        """Return losses with the values and gradients of the reconstructions, whose activations are free again.

        Each loss becomes the plane through its value that has its gradient: the same as long as the step is one.
        """
        given = {name: value.detach().requires_grad_(value.requires_grad) for name, value in prediction.items()}
        names = [name for name, value in given.items() if value.requires_grad]
        planes: dict[str, Loss] = {}
        for kind, loss in self._of_drawn(batch, given)[0].items():
            gradients = torch.autograd.grad(loss.values.sum(), [given[name] for name in names], allow_unused=True)
            values = loss.values.detach()
            for name, gradient in zip(names, gradients, strict=True):
                if gradient is not None:
                    change = (prediction[name] - given[name].detach())[batch.drawn]  # zero, with a gradient
                    values = values + (change * gradient[batch.drawn]).flatten(1).sum(dim=1)
            planes[kind] = dataclasses.replace(loss, values=values)
        return planes

    def of_adversary(self, prediction: Prediction, drawn: Tensor) -> Loss:
        """Return what the discriminator's verdict on reconstructions, or on rows, costs the encoder."""
        assert self.adversary is not None
        subject = self.options.subject if self.adversary.of_pictures else "all"
        values = self.adversary.generator_loss(self.judged(prediction, drawn))
        return Loss(self.adversary.options.weight, values, subject)

    def judged(self, prediction: Prediction, drawn: Tensor) -> Tensor:
        """Return what the discriminator judges: the reconstructions, or the rows that have a value of their own.

        Rows whose offset e4e has not enabled yet repeat row 0. Its release judges rows 0 to stage only: with the
        repeated ones row 0 would count many times.
        """
        assert self.adversary is not None
        return drawn if self.adversary.of_pictures else prediction["ws"][:, : self.data.encoder.distinct_rows]

    def mean_square(self, name: str) -> Tensor:
        """Return the mean square of the generator's feature "fSIZE", computed once."""
        if name not in self._mean_squares:
            # Of fixed seeds: a batch's own mean square would make the loss depend on the rest of the batch.
            many = own_feature(self.generator, self.data.ws_of(range(_FEATURE_SAMPLES)), name)
            self._mean_squares[name] = many.square().mean()
        return self._mean_squares[name]


def features_of(prediction: Prediction) -> dict[str, Tensor]:
    """Return the feature maps "fSIZE" of a prediction."""
    return {name: value for name, value in prediction.items() if name[0] == "f"}

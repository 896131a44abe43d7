"""The options of encoder training, as they stand in params.yaml."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.compute.precision import Precision
from ganvert.encoders.base import EncoderSpec
from ganvert.inversion.objective import Term
from ganvert.training.adversary import AdversaryOptions
from ganvert.training.augment import Augment
from ganvert.training.optimisers import OptimiserOptions
from ganvert.training.penalties import PREDICTION_PENALTIES

__all__ = ["DataOptions", "TrainOptions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
    """params.yaml: train_encoder.options.NAME.data: which images the encoder is trained on.

    Attributes:
        samples: seeds 0 .. samples - 1 of the generator are drawn once and kept; 0 draws new ones without end (a GPU
            draws faster than a disk fills).
        psi, cutoff: truncation of the samples' codes (``Generator.map``).
        photos: share of every batch that is photographs, 0 to 1; the rest is samples.
        validation: number of photographs that are held out for validation; those whose ids' digests come first.
        px: side of the images that are kept, and the largest that losses compare.
        augment: random changes of the images (:class:`ganvert.training.augment.Augment`). Samples are never moved or
            mirrored: their codes would no longer be right.
        sample_variants, photo_variants: how many differently changed versions of an image there are; 0 makes a new
            one each time. With few of them the features of a frozen backbone are computed once and kept.
    """

    samples: int = 0
    psi: float = 1.0
    cutoff: int | None = None
    photos: float = 0.0
    validation: int = 8
    px: int = 256
    augment: Augment = dataclasses.field(default_factory=Augment)
    sample_variants: int = 1
    photo_variants: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.photos <= 1:
            raise ParamsError(f"photos is a share of the batch, 0 to 1, got {self.photos}")
        if min(self.samples, self.validation, self.sample_variants, self.photo_variants) < 0 or self.px < 16:
            raise ParamsError("samples, validation and variants must not be negative, px at least 16")
        if self.cutoff is not None and self.cutoff < 0:
            raise ParamsError(f"cutoff: wanted a number of rows, 0 or more, or null for all, got {self.cutoff}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """params.yaml: train_encoder.options.NAME.

    Attributes:
        encoder: its architecture.
        first_step: steps that the starting weights have been trained for; decides which images come next.
        steps: optimiser steps of this run.
        freeze: heads whose weights stay as they are, and ``backbone`` and ``neck``: codes of what they predict do not
            change.
        batch: images a step, over all devices.
        seed: of everything that is random.
        data: which images the encoder is trained on.
        optimiser: which one, and its learning rate.
        clip: largest norm of the gradient; 0 for none.
        latent: weight of the squared error of ws over the variance of w, on samples.
        feature: weight of the squared error of a predicted feature over its mean square, on samples.
        own_feature: weight of the squared distance of a predicted feature from the generator's own feature of the
            predicted rows (FeatureStyleEncoder).
        objective: image losses of the reconstruction.
        objective_on: which images are reconstructed and compared.
        also: a second space whose reconstruction the objective compares too (FeatureStyleEncoder: ``wplus``).
        fade: steps over which a predicted feature replaces the generator's own (FeatureStyleEncoder).
        regularise: weights of penalties of the prediction (``ganvert.training.penalties.PREDICTION_PENALTIES``).
        adversary: a discriminator of images or of rows, trained along with the encoder.
        picture: ``full`` reconstructs with the generator; ``draft`` with a stand-in that is trained first
            (``ganvert.training.draft``), several times cheaper.
        picture_precision: of the generator's pictures and their losses (``Speed.precision``), where objective and
            gradient are near enough to those in float32. ``auto`` is bfloat16 on a CPU that is fast at it.
        at_once: reconstructions that are in memory together, with the same gradients as all of them; 0 is all.
        draft_photos: photographs for which the starting encoder's predictions are drawn once, so that the draft
            network learns from them beside the samples.
        precision: of the encoder's forward pass; ``bf16`` is for GPUs.
        ema: decay of the running mean of the weights, which is what is saved; 0 saves the last weights.
        validate_every: steps between validations on the held-out photographs; 0 validates at the end only.
        checkpoint_every: steps between checkpoints in the work folder.
    """

    encoder: EncoderSpec
    first_step: int = 0
    steps: int
    freeze: tuple[str, ...] = ()
    batch: int
    seed: int = 0
    data: DataOptions
    optimiser: OptimiserOptions
    clip: float = 1.0
    latent: float = 0.0
    feature: float = 0.0
    own_feature: float = 0.0
    objective: tuple[Term, ...] = ()
    objective_on: Literal["all", "samples", "photos"] = "all"
    also: str | None = None
    fade: int = 0
    regularise: dict[str, float] = dataclasses.field(default_factory=dict)
    adversary: AdversaryOptions | None = None
    picture: Literal["full", "draft"] = "full"
    picture_precision: Precision = "auto"
    at_once: int = 0
    draft_photos: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    ema: float = 0.0
    validate_every: int = 0
    checkpoint_every: int = 100

    @property
    def draws(self) -> bool:
        """Whether a step draws reconstructions: for the objective, or for a discriminator of images."""
        return bool(self.objective) or (self.adversary is not None and self.adversary.kind == "picture")

    @property
    def subject(self) -> Literal["all", "sample", "photo"]:
        """Which images reconstructions are of."""
        subjects: dict[str, Literal["all", "sample", "photo"]] = {"samples": "sample", "photos": "photo"}
        return subjects.get(self.objective_on, "all")

    def __post_init__(self) -> None:
        for name in self.regularise:
            lookup(PREDICTION_PENALTIES, name, "penalty of predictions")
        if min(self.steps, self.batch, self.checkpoint_every) < 1:
            raise ParamsError("steps, batch and checkpoint_every must be at least 1")
        parts = {"backbone", *(["neck"] if self.encoder.neck != "none" else []), *self.encoder.heads}
        if unknown := [name for name in self.freeze if name not in parts]:
            raise ParamsError(f"freeze: the encoder has no part {', '.join(unknown)}")
        if self.at_once and self.adversary and self.adversary.kind == "picture":
            raise ParamsError("at_once: a discriminator of images judges a whole batch: at_once: 0")
        counts = self.first_step, self.fade, self.validate_every, self.draft_photos, self.at_once
        if min(self.clip, self.latent, self.feature, self.own_feature, *self.regularise.values(), *counts) < 0:
            raise ParamsError(
                "weights, clip, first_step, fade, validate_every, at_once and draft_photos must not be negative"
            )
        if not 0 <= self.ema < 1:
            raise ParamsError(f"ema is a decay, 0 (off) to below 1, got {self.ema}")
        if not (self.latent or self.feature or self.objective):
            raise ParamsError("nothing to learn from: give latent, feature or an objective")
        # Otherwise a step would need two epochs, and show an image twice.
        if 0 < self.data.samples < self.batch * (1 - self.data.photos):
            raise ParamsError(f"data.samples ({self.data.samples}) must fill a batch ({self.batch})")
        if any(term.mask or term.picture for term in self.objective):
            raise ParamsError("objective: masks and second images belong to inversion, not to training")
        if (self.latent or self.feature) and self.data.photos == 1:
            raise ParamsError("latent and feature compare with the codes of samples: data.photos: 1 leaves no samples")
        if self.draws and self.data.photos == {"samples": 1.0, "photos": 0.0, "all": -1.0}[self.objective_on]:
            raise ParamsError(f"objective_on: {self.objective_on}: data.photos: {self.data.photos:g} leaves none")
        if self.picture == "draft" and self.adversary and self.adversary.kind == "picture":
            raise ParamsError("a discriminator of images cannot judge drafts: picture: full")

"""The options of ``inverter: tune``: what tells one way of tuning a generator from another."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from ganvert.base.errors import ParamsError
from ganvert.generators.base import Generator
from ganvert.inversion.objective import Term
from ganvert.inversion.schedule import check_ramps

__all__ = ["Adversarial", "Differences", "Locality", "StopAt", "TuneOptions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopAt:
    """Stop as soon as this loss of the image is at most `below`.

    Attributes:
        loss, resolution: as in :class:`ganvert.inversion.objective.Term`.
        below: the bound.
    """

    loss: str
    below: float
    resolution: int | None = None

    def __post_init__(self) -> None:
        Term(loss=self.loss, resolution=self.resolution)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Locality:
    """PTI's locality regularisation (Roich et al. 2021, section 3.3): the tuned generator draws other codes as before.

    Attributes:
        objective: losses of the tuned generator's image against the old one's, at a code `distance` away.
        distance: length of the step from the pivot towards a random code, over all rows of ws together.
        psi: truncation of that random code.
        every: once in so many steps.
    """

    objective: tuple[Term, ...]
    # alpha of PTI's code. A norm over all rows: the 18 equal rows of a pivot in W move by 30 / sqrt(18) = 7.1 each.
    distance: float = 30.0
    # Truncated, so that the direction leads to a typical image.
    psi: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        if not self.objective or self.every < 1 or self.distance <= 0:
            raise ParamsError("locality: objective must not be empty, every at least 1, distance above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
    """The two adversarial losses of near-perfect inversion, with the checkpoint's discriminator or a new one.

    Attributes:
        local: weight of ``softplus(-D(G(code)))`` beside the objective; D tells the photograph from G(code).
        everywhere: weight of ``softplus(-D(G(random code)))``; D tells samples of the old generator from the tuned
            one's.
        every: the second loss acts once in so many steps.
        samples: random codes each time.
        lr: Adam's rate for D.
        r1, r1_every: weight of the gradient penalty at the real images, and after how many steps it is applied.
        resolution: of a new discriminator.
        channels: of a new discriminator, at its widest.
    """

    # The slides of near-perfect inversion add L_global with weight 1 and give no other numbers: those below are our
    # choice. gamma of R1 and its interval, 10 and 16, are those of e4e and PadInv.
    local: float = 0.1
    everywhere: float = 1.0
    every: int = 1
    samples: int = 4
    lr: float = 1e-4
    r1: float = 10.0
    r1_every: int = 16
    resolution: int = 256
    channels: int = 512

    def __post_init__(self) -> None:
        if min(self.every, self.samples, self.r1_every) < 1 or min(self.local, self.everywhere, self.r1) < 0:
            raise ParamsError("adversarial: counts must be at least 1 and weights not negative")
        if self.lr <= 0:
            raise ParamsError(f"adversarial: lr: wanted a number above 0, got {self.lr:g}")
        # Of a new discriminator, which is made only when the stage before is done.
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise ParamsError(f"adversarial: resolution: wanted a power of two from 8 on, got {self.resolution}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Differences:
    """The code's masked feature differences learn beside the weights (DHR, Cao et al. 2023, arXiv 2301.12141).

    Attributes:
        lr: Adam's rate for them at full height; it rises and falls as that of the weights.
        weight_steps: how many of the first steps the weights take part in.
    """

    lr: float
    weight_steps: int

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.weight_steps < 0:
            raise ParamsError("differences: lr must be above 0 and weight_steps not negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """params.yaml: invert.options.NAME with ``inverter: tune`` (a stage behind another one).

    Attributes:
        tuned: ``synthesis``, everything behind the mapping network, or ``features``: without the affine layers, so
            that a direction keeps its meaning.
        steps: at most so many.
        lr: Adam's rate at full height.
        betas: Adam's.
        ramp_up, ramp_down: as in :class:`ganvert.inversion.methods.optimise_options.OptimiseOptions`.
        objective: losses of the image against the photograph.
        share: fraction of the steps in which the objective acts; the others are for the adversarial loss alone.
        stop: when to stop early.
        locality: see :class:`Locality`.
        adversarial: see :class:`Adversarial`.
        differences: see :class:`Differences`; for codes of spaces mSIZE-SIZE/SPACE.
        noise: maps of the ``previous`` stage, if it found any, or the generator's own, ``const``.
        together: tune one generator for all photographs, which take turns in every step, instead of one for each.
        keep: the ``last`` weights, or the ``best`` by the objective.
    """

    tuned: Literal["synthesis", "features"] = "synthesis"
    steps: int
    lr: float
    # PyTorch's default, as in PTI; StyleGAN2 itself was trained with (0, 0.99).
    betas: tuple[float, float] = (0.9, 0.999)
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    objective: tuple[Term, ...]
    share: float = 1.0
    stop: StopAt | None = None
    locality: Locality | None = None
    adversarial: Adversarial | None = None
    differences: Differences | None = None
    noise: Literal["previous", "const"] = "previous"
    together: bool = False
    keep: Literal["last", "best"] = "last"
    needs_encoder: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.lr <= 0 or not self.objective:
            raise ParamsError("steps must be at least 1, lr above 0, and objective not empty")
        check_ramps(self)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ParamsError(f"betas must be from 0 to below 1, got {list(self.betas)}")
        if not 0 < self.share <= 1:
            raise ParamsError(f"share must be above 0 and at most 1, got {self.share}")
        if self.share < 1 and self.adversarial is None:
            raise ParamsError("share below 1 leaves steps without any loss unless there is an adversarial one")
        # One photograph near enough must not stop the others, and there is one discriminator for each; the best weights
        # of all are not the best of one, which its differences belong to.
        if self.together and (self.stop or self.adversarial or self.differences):
            raise ParamsError("together: stop, adversarial and differences are for single photographs")

    @property
    def needs_discriminator(self) -> bool:
        """Whether a discriminator takes part."""
        return self.adversarial is not None

    @property
    def terms(self) -> tuple[Term, ...]:
        """Terms of the objectives."""
        return (*self.objective, *(self.locality.objective if self.locality else ()))

    def check(self, generator: Generator) -> None:
        """Raise ParamsError where a new discriminator of the generator's pictures would have no channels."""
        if self.adversarial is None:
            return
        px = min(self.adversarial.resolution, generator.resolution)
        if 32 * self.adversarial.channels < px:
            raise ParamsError(
                f"adversarial: channels: wanted at least {px // 32} at {px} px, got {self.adversarial.channels}"
            )

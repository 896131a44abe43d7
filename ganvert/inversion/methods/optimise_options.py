"""The options of ``inverter: optimise``: what tells one optimisation method from another."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.generators.base import Generator
from ganvert.inversion.objective import Term
from ganvert.inversion.penalties import PENALTIES
from ganvert.inversion.preview import Preview
from ganvert.inversion.schedule import check_ramps
from ganvert.spaces import DetailInit, check_space, make_space

__all__ = ["OptimiseOptions", "Plateau"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plateau:
    """When an image counts as converged.

    Its best objective of the last `window` steps is less than `drop` (relative) below its best before them. Steps of
    the preview and of the ramp up do not count. The steps that are saved would have had the small rates of a
    `ramp_down`, which often gain the last per cents: without a ramp, or with ``keep: best``, less is lost.

    Attributes:
        window: steps, 2 or more.
        drop: between 0 and 1; with 0 an image stops only where it gains nothing at all.
    """

    window: int = 20
    drop: float = 0.01

    def __post_init__(self) -> None:
        if self.window < 2 or not 0 <= self.drop < 1:
            raise ParamsError(f"stop: wanted a window of 2 or more and a drop from 0 to below 1, got {self}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiseOptions:
    """params.yaml: invert.options.NAME with ``inverter: optimise``.

    Attributes:
        space: latent space (``ganvert.spaces.SPACES``), or ``fSIZE/SPACE`` for a feature map of SIZE px over one,
            ``fsSIZE/SPACE`` for one that directions move, ``mSIZE-SIZE/SPACE`` for masked differences of such maps,
            ``pad/SPACE`` for padding.
        init: ``mean`` (w_avg), ``random`` (the prior, by the image's seed), ``encoder`` (what it predicts of the code;
            :meth:`ganvert.spaces.base.Space.adopt`), or ``previous``: the code of the stage before
            (``inverter: chain``).
        detail_init: where the rows behind a feature map begin: ``ws``, those that made the map or were predicted with
            it (in Z and Z+ the nearest), ``mean`` or ``random``.
        code: ``optimise`` it, or leave it ``fixed`` as it starts, so that only noise maps move.
        steps: steps in all.
        optimiser: ``adam``, or ``lbfgs`` with a line search (one image at a time; lr is its first trial length).
        lr: learning rate at full height.
        rates: learning rates of variables of the code, as multiples of `lr`; 1 for one that is not named. A feature map
            and rows of ws have different lengths, and steps that suit one are too long for the other.
        ramp_up, ramp_down: fraction of the steps spent rising linearly and falling along a cosine.
        objective: image losses.
        regularise: weights of penalties of the code (``ganvert.inversion.penalties.PENALTIES``).
        noise: the generator's stored maps, none, or maps that are optimised. Maps of the stage before stay in use.
        noise_init: where optimised maps begin: ``random`` by the image's seed, or ``stored``.
        noise_normalise: give them zero mean and unit RMS after every step.
        noise_weight: weight of the projector's noise regulariser when maps are optimised.
        latent_noise: strength of decaying Gaussian noise on the code, relative to the spread of w
            (StyleGAN2 projector: 0.05).
        preview_steps: how many of the first steps use a stand-in for the image (``ganvert.inversion.preview``).
        preview_px: size of the feature it is made of; rows of ws that act after that feature are frozen in those
            steps, and no loss uses more pixels.
        preview_every: steps after which the stand-in is fitted anew.
        stop: when an image is done before its `steps` are; None is never. Its trace is nan from there on.
        keep: the ``last`` code, as the papers do, or the ``best`` by the objective.
    """

    space: str
    init: Literal["mean", "random", "encoder", "previous"] = "mean"
    detail_init: DetailInit = "ws"
    code: Literal["optimise", "fixed"] = "optimise"
    steps: int
    optimiser: Literal["adam", "lbfgs"] = "adam"
    lr: float
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    objective: tuple[Term, ...]
    regularise: dict[str, float] = dataclasses.field(default_factory=dict)
    noise: Literal["const", "none", "optimise"] = "const"
    noise_init: Literal["random", "stored"] = "random"
    noise_normalise: bool = True
    noise_weight: float = 0.0
    latent_noise: float = 0.0
    preview_steps: int = 0
    preview_px: int = 128
    preview_every: int = 10
    stop: Plateau | None = None
    keep: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        check_space(self.space)
        for name in self.regularise:
            lookup(PENALTIES, name, "penalty")
        if self.steps < 1 or self.lr <= 0 or not self.objective:
            raise ParamsError("steps must be at least 1, lr above 0, and objective not empty")
        check_ramps(self)
        weights = {"noise_weight": self.noise_weight, "latent_noise": self.latent_noise, **self.regularise}
        for name, weight in weights.items():
            if weight < 0:
                raise ParamsError(f"{name}: wanted 0 or more, got {weight:g}")
        for name, rate in self.rates.items():
            if rate <= 0:
                raise ParamsError(f"rates: {name}: wanted a number above 0, got {rate:g}")
        if self.rates and (self.optimiser == "lbfgs" or self.code == "fixed"):
            raise ParamsError("rates act only with optimiser: adam and code: optimise")
        if not 0 <= self.preview_steps <= self.steps:
            raise ParamsError(f"preview_steps must be between 0 and steps ({self.steps}), got {self.preview_steps}")
        if self.preview_px < 16 or self.preview_every < 1:
            raise ParamsError("preview_px must be at least 16 and preview_every at least 1")
        # Combinations that would do nothing, or not what they say, are refused before anything runs.
        if self.noise != "optimise" and self.noise_weight:
            raise ParamsError("noise_weight acts only with noise: optimise")
        if self.detail_init != "ws" and not self.space.startswith("f"):
            raise ParamsError(f"detail_init is for spaces with a feature map (fSIZE/SPACE), not for {self.space}")
        if self.detail_init != "ws" and self.init == "random":
            raise ParamsError("detail_init acts only where the code is not drawn whole, by init: random")
        if "base" in self.regularise and not self.space.startswith("f"):
            raise ParamsError(f"regularise: base is for spaces with a feature map (fSIZE/SPACE), not for {self.space}")
        if "differences" in self.regularise and not self.space.startswith("m"):
            raise ParamsError(f"regularise: differences is for spaces mSIZE-SIZE/SPACE, not for {self.space}")
        # S and Z++ feed styles to the layers directly: there is no ws to penalise or to compare with an encoder's.
        if set(self.regularise) - {"base", "differences"} and self.space.rpartition("/")[2] in ("s", "zplusplus"):
            raise ParamsError(f"regularise: {', '.join(self.regularise)} use ws, which {self.space} has none of")
        # The preview is fitted to the image with the maps as they are, and freezes those behind its feature.
        if self.preview_steps and self.noise == "optimise":
            raise ParamsError("preview_steps cannot be combined with noise: optimise; switch one of them off")
        # Image2StyleGAN++ optimises noise maps alone, in a stage behind the code: both at once are unstable.
        if self.code == "fixed" and self.noise != "optimise":
            raise ParamsError("code: fixed leaves nothing to optimise; set noise: optimise")
        if self.code == "fixed" and self.latent_noise:
            raise ParamsError("latent_noise acts only with code: optimise")
        if self.optimiser == "lbfgs" and (self.preview_steps or self.latent_noise or self.ramp_up or self.ramp_down):
            raise ParamsError("lbfgs: its objective may not change between steps: no preview, latent noise or ramp")
        if self.optimiser == "lbfgs" and self.noise == "optimise":
            raise ParamsError("lbfgs: optimised noise maps are normalised between steps, which it cannot see; use adam")

    @property
    def needs_encoder(self) -> bool:
        """Whether the start or a penalty needs an encoder."""
        return self.init == "encoder" or self.encodes

    @property
    def encodes(self) -> bool:
        """Whether a penalty runs an encoder on the images."""
        return any(name.startswith("encoder") for name in self.regularise)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Terms of the objective."""
        return tuple(self.objective)

    def check(self, generator: Generator) -> None:
        """Raise an error where these options do not fit the generator.

        Raises:
            UnsupportedError: it lacks what they use.
            UnknownNameError: `rates` names a variable that codes of the space do not have.
        """
        space = make_space(self.space, generator)
        for name in self.rates:
            lookup(space.shapes, name, f"variable of {self.space}")
        if self.preview_steps:
            Preview(generator, self.preview_px)
        if self.noise == "optimise" and not generator.noise_shapes:
            raise UnsupportedError(
                f"noise: optimise: {generator.architecture} has no noise inputs; set noise: const and noise_weight: 0"
            )

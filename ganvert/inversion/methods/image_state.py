"""One image on its way through an optimisation: its code, its optimiser, and the best code so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion
from ganvert.inversion.methods.optimise_options import OptimiseOptions
from ganvert.inversion.objective import Objective
from ganvert.inversion.preview import Fitted
from ganvert.spaces import Space, Variables, make_space, to_device

__all__ = ["ImageState"]


class ImageState:
    """The variables, the optimiser and the best code of one image.

    Every image has leaves and an optimiser of its own, so that images may come and go: Adam's moments and the curvature
    of L-BFGS then belong to the image and not to a batch.

    Attributes:
        index: which image of the batch it is.
        batch: the image alone.
        variables: the code, name to [1, *shape].
        start: the code before the first step.
        noise: given noise maps, or none.
        leaves: the tensors that are optimised.
        optimiser: theirs.
        objective: the targets of its next step, once they are prepared.
        fitted: its preview of the next step, if it uses one.
        step: how many steps were taken.
        alive: whether the objective has been finite so far.
    """

    def __init__(self, index: int, batch: Batch, space: Space, context: Context, options: OptimiseOptions) -> None:
        """Prepare the start of the optimisation.

        Args:
            index: which image of the batch it is.
            batch: the image alone, on the device.
            space: of the code.
            context: for the start.
            options: the preset.
        """
        self.index, self.batch, self.options = index, batch, options
        self.variables = _initial_code(space, batch, context, options)
        # f0 and the first rows: what penalties such as equation 3 of the F/Z+ paper hold the code to.
        self.start = {name: value.detach().clone() for name, value in self.variables.items()}
        self.noise = _initial_noise(batch, context.generator, options)
        self._moves = set(self.variables) - set(space.constants) if options.code == "optimise" else set()
        rated = [(value, options.rates.get(name, 1.0)) for name, value in self.variables.items() if name in self._moves]
        rated += [(value, 1.0) for value in self.noise if options.noise == "optimise"]
        self.leaves = [leaf for leaf, _ in rated]
        for leaf in self.leaves:
            leaf.requires_grad_()
        self.optimiser = _optimiser(rated, options)
        self.objective: Objective | None = None
        self.fitted: Fitted | None = None
        self.step, self.alive = 0, True
        self._trace = torch.full((1, options.steps), math.nan)
        self._best_value, self._best_step = math.inf, 0
        self._best = {name: value.clone() for name, value in self.start.items()}
        self._best_noise = [value.detach().clone() for value in self.noise]
        self._random = torch.Generator("cpu").manual_seed(item_seed(batch.seeds[0], "jitter"))
        self._jitter: tuple[int, Variables] = -1, {}

    @property
    def previewed(self) -> bool:
        """Whether its next step uses the preview."""
        return self.step < self.options.preview_steps

    @property
    def done(self) -> bool:
        """Whether no further step is to be taken."""
        return not self.alive or self.step == self.options.steps or self._converged()

    def jittered(self, spread: float) -> Variables:
        """Return the code with decaying Gaussian noise on what is optimised, as the StyleGAN2 projector explores.

        ``w + N(0, 1) * spread * strength * max(0, 1 - t / 0.75)^2`` at the fraction t of the steps.

        Args:
            spread: the unit of the strength, the spread of w.
        """
        t = self.step / self.options.steps
        scale = self.options.latent_noise * spread * max(0.0, 1 - t / 0.75) ** 2
        if not scale:
            return self.variables
        if self._jitter[0] != self.step:  # a step that is tried again with fewer images has the same noise
            moving = {name: value for name, value in self.start.items() if name in self._moves}
            drawn = {name: torch.randn(value.shape[1:], generator=self._random) for name, value in moving.items()}
            self._jitter = self.step, drawn
        noise = {name: scale * drawn.unsqueeze(0) for name, drawn in self._jitter[1].items()}
        return self.variables | {name: self.variables[name] + n.to(self.variables[name]) for name, n in noise.items()}

    def record(self, value: float) -> None:
        """Record a step's objective, and the code it belongs to if it is the best so far."""
        if self.step == self.options.preview_steps:
            self._best_value = math.inf  # objectives of the preview and of the image are not comparable
        self.alive = math.isfinite(value)
        self._trace[0, self.step] = value
        if self.alive and value < self._best_value:
            self._best_value, self._best_step = value, self.step
            for name, tensor in self.variables.items():
                self._best[name].copy_(tensor.detach())
            for kept, tensor in zip(self._best_noise, self.noise, strict=True):
                kept.copy_(tensor.detach())

    def advance(self) -> None:
        """Advance to the next step."""
        self.step += 1
        if self.step == self.options.preview_steps:
            self.objective = self.fitted = None  # from now on at full resolution

    def result(self) -> Inversion:
        """Return the last code, or the best where the image diverged or the options ask for it."""
        alive = self.alive and all(bool(value.isfinite().all()) for value in (*self.variables.values(), *self.noise))
        # Published codes return the last iterate, and so do the presets that reproduce them.
        last = alive and self.options.keep == "last"
        variables, noise = (self.variables, self.noise) if last else (self._best, self._best_noise)
        diverged = "the objective stopped being finite; the best code before that is kept"
        return Inversion(
            space=self.options.space,
            variables={name: value.detach().cpu() for name, value in variables.items()},
            noise=[value.detach().cpu() for value in noise],
            trace=self._trace,
            best_step=torch.tensor([self._best_step]),
            status=["ok" if alive else "diverged"],
            reason=["" if alive else diverged],
        )

    def _converged(self) -> bool:
        """Return whether the objective has reached a plateau: see ``Plateau``."""
        stop, options = self.options.stop, self.options
        if stop is None:
            return False
        first = max(options.preview_steps, math.ceil(options.ramp_up * options.steps))
        values = self._trace[0, first : self.step]
        if len(values) <= stop.window:
            return False
        return bool(values[-stop.window :].min() > (1 - stop.drop) * values[: -stop.window].min())


def _optimiser(rated: Sequence[tuple[Tensor, float]], options: OptimiseOptions) -> torch.optim.Optimizer:
    """Return the optimiser of leaves; Adam's groups have the `rate` of theirs, which L-BFGS has no use for."""
    if options.optimiser == "adam":
        groups = [{"params": [leaf], "rate": rate} for leaf, rate in rated]
        return torch.optim.Adam(groups, lr=options.lr, betas=(0.9, 0.999), eps=1e-8)
    # One iteration a step, its length found by line search; curvature is kept between steps. Both tolerances are off:
    # their defaults (1e-7 and 1e-9) are absolute and end the search early for losses of 1e-3. Only `steps` ends it.
    return torch.optim.LBFGS(
        [leaf for leaf, _ in rated],
        lr=options.lr,
        max_iter=1,
        max_eval=25,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


def _initial_code(space: Space, batch: Batch, context: Context, options: OptimiseOptions) -> Variables:
    """Return the code that the optimisation starts from: `init` of the options."""
    if options.init == "random":  # from the prior: Z and Z+ have no mean to start from
        return space.from_random(batch.seeds)
    if options.init == "previous":
        previous = batch.require_start()
        if previous.weights:
            raise ParamsError("init: previous: the stage before has tuned the generator; tuning comes last")
        variables = {name: value.clone() for name, value in to_device(previous.variables, context.device).items()}
        if previous.space == options.space:
            return variables
        ws = make_space(previous.space, context.generator).to_ws(variables)
    elif options.init == "encoder":
        return space.adopt(context.require_encoder().encode(batch.targets), batch.seeds, options.detail_init)
    else:  # the mean code, where the projector, Image2StyleGAN and II2S begin
        ws = context.generator.w_avg.expand(len(batch), context.generator.num_ws, -1)
    return space.start(ws, batch.seeds, options.detail_init)


def _initial_noise(batch: Batch, generator: Generator, options: OptimiseOptions) -> list[Tensor]:
    """Return the maps that the generator is given; none where it uses its own, or no noise."""
    device = generator.w_avg.device
    start = batch.start.noise if batch.start is not None else []
    if start:  # maps that an earlier stage found belong to its code
        return [value.to(device).clone() for value in start]
    if options.noise != "optimise":
        return []
    if options.noise_init == "stored":
        return [value.expand(len(batch), -1, -1, -1).clone() for value in generator.stored_noise()]
    return [
        normal([item_seed(seed, "noise", i) for seed in batch.seeds], (1, *shape)).to(device)
        for i, shape in enumerate(generator.noise_shapes)
    ]

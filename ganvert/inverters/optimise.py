"""Inversion by gradient descent on a code: every optimisation method is a preset of this one loop.

StyleGAN2's projector, Image2StyleGAN and the ablations of the F/Z+ paper differ only in space, initialiser, objective
and schedule (METHODS of the documentation list the constants).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.errors import ParamsError, UnsupportedError
from ganvert.generators.base import Generator
from ganvert.generators.preview import Preview
from ganvert.inverters.base import Batch, Context, Inversion, OnStep, join, part_of
from ganvert.inverters.objective import REGULARISERS, Objective, Penalised, Term, inputs_of
from ganvert.inverters.schedule import learning_rate
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.registry import lookup
from ganvert.seeds import item_seed, normal
from ganvert.spaces import DetailInit, Space, Variables, check_space, make_space

__all__ = ["OptimiseOptions", "optimise"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiseOptions:
    """params.yaml: invert.options.NAME with ``inverter: optimise``.

    Attributes:
        space: latent space (``ganvert.spaces.SPACES``), or ``fSIZE/SPACE`` for a feature map of SIZE px over one,
            ``fsSIZE/SPACE`` for one that directions move, ``pad/SPACE`` for padding.
        init: ``mean`` (w_avg), ``random`` (the prior, by the image's seed), ``encoder`` (what it predicts of the code;
            :meth:`ganvert.spaces.base.Space.adopt`), or ``previous``: the code of the stage before
            (``inverter: chain``).
        detail_init: where the rows behind a feature map begin: ``ws``, those that made the map or were predicted with
            it (random in Z and Z+), ``mean`` or ``random``.
        code: whether the code itself is optimised, or stays as it starts and only noise maps move.
        steps: steps in all.
        optimiser: ``adam``, or ``lbfgs`` with a line search (one image at a time; lr is its first trial length).
        lr: learning rate at full height.
        ramp_up, ramp_down: fraction of the steps spent rising linearly and falling along a cosine.
        objective: image losses.
        regularise: weights of penalties of the code (``ganvert.inverters.objective.REGULARISERS``).
        noise: the generator's stored maps, none, or maps that are optimised. Maps of the stage before stay in use.
        noise_init: where optimised maps begin: ``random`` by the image's seed, or ``stored``.
        noise_normalise: give them zero mean and unit RMS after every step.
        noise_weight: weight of the projector's noise regulariser when maps are optimised.
        latent_noise: strength of decaying Gaussian noise on the code, relative to the spread of w
            (StyleGAN2 projector: 0.05).
        preview_steps: how many of the first steps see a stand-in for the picture (``ganvert.generators.preview``).
        preview_px: size of the feature it is made of; rows of ws that act after that feature rest in those steps,
            and no loss looks at more pixels.
        preview_every: steps after which the stand-in is fitted anew.
        keep: the ``last`` code, as the papers do, or the ``best`` by the objective.
    """

    space: str
    init: Literal["mean", "random", "encoder", "previous"] = "mean"
    detail_init: DetailInit = "ws"
    code: Literal["optimise", "fixed"] = "optimise"
    steps: int
    optimiser: Literal["adam", "lbfgs"] = "adam"
    lr: float
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
    keep: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        check_space(self.space)
        for name in self.regularise:
            lookup(REGULARISERS, name, "regulariser")
        if self.steps < 1 or self.lr <= 0 or not self.objective:
            raise ParamsError("steps must be at least 1, lr above 0, and objective not empty")
        if not 0 <= self.preview_steps <= self.steps:
            raise ParamsError(f"preview_steps must be between 0 and steps ({self.steps}), got {self.preview_steps}")
        if self.preview_px < 16 or self.preview_every < 1:
            raise ParamsError("preview_px must be at least 16 and preview_every at least 1")
        if self.noise != "optimise" and self.noise_weight:
            raise ParamsError("noise_weight acts only with noise: optimise")
        if self.detail_init != "ws" and "/" not in self.space:
            raise ParamsError(f"detail_init is of spaces with a feature map (fSIZE/SPACE), not of {self.space}")
        if "base" in self.regularise and not self.space.startswith("f"):
            raise ParamsError(f"regularise: base is of spaces with a feature map (fSIZE/SPACE), not of {self.space}")
        if set(self.regularise) - {"base"} and self.space.rpartition("/")[2] in ("s", "zplusplus"):
            raise ParamsError(f"regularise: {', '.join(self.regularise)} look at ws, which {self.space} has none of")
        if self.preview_steps and self.noise == "optimise":
            raise ParamsError("preview_steps cannot see optimised noise: set one of them off")
        if self.code == "fixed" and self.noise != "optimise":
            raise ParamsError("code: fixed leaves nothing to optimise; set noise: optimise")
        if self.optimiser == "lbfgs" and (self.preview_steps or self.latent_noise or self.ramp_up or self.ramp_down):
            raise ParamsError("lbfgs: its objective may not change between steps: no preview, latent noise or ramp")
        if self.optimiser == "lbfgs" and self.noise == "optimise":
            raise ParamsError("lbfgs: optimised noise maps are normalised between steps, which it cannot see; use adam")

    @property
    def needs_encoder(self) -> bool:
        """Whether the start or a penalty asks for an encoder."""
        return self.init == "encoder" or any(name.startswith("encoder") for name in self.regularise)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Masks and pictures that the objective names."""
        return inputs_of(self.objective)

    def check(self, generator: Generator) -> None:
        """UnsupportedError where the generator lacks what these options use."""
        space = make_space(self.space, generator)
        if self.init == "encoder":
            space.check_predictable()
        if self.preview_steps:
            Preview(generator, self.preview_px)
        if self.noise == "optimise" and not generator.noise_shapes:
            raise UnsupportedError(
                f"noise: optimise: {generator.architecture} has no noise inputs; set noise: const and noise_weight: 0"
            )


def optimise(batch: Batch, context: Context, options: OptimiseOptions, on_step: OnStep | None = None) -> Inversion:
    """Invert a batch of images that do not influence each other.

    Args:
        batch: the images, and what an earlier stage found.
        context: generator and what the options need beside it.
        options: the preset.
        on_step: told the objective after every step.

    Returns:
        Codes, trace, and status per image. An image whose objective stops being finite keeps its best code and is
        ``diverged``; the others are untouched.

    Raises:
        UnsupportedError: the options need an encoder that the context lacks, or a feature the generator lacks.
        ParamsError: the options go on from an earlier stage, and there is none.
    """
    options.check(context.generator)
    if options.optimiser == "lbfgs" and len(batch) > 1:  # one curvature estimate for all would couple the images
        ticks = [part_of(on_step, i, 1, len(batch)) for i in range(len(batch))]
        return join([optimise(batch.select(i), context, options, tick) for i, tick in enumerate(ticks)])
    run = _Run(batch, context, options)
    step_of = {"adam": _adam, "lbfgs": _lbfgs}[options.optimiser](run)
    for step in range(options.steps):
        if not run.alive.any():
            break
        seen = step_of(step)
        run.after_step()
        if on_step is not None:
            on_step(step + 1, options.steps, seen)
    return run.result()


class _Run:
    """One batch on its way: leaves, objective, and the best code so far."""

    def __init__(self, batch: Batch, context: Context, options: OptimiseOptions) -> None:
        self.context, self.options = context, options
        self.space = make_space(options.space, context.generator)
        self.variables = _initial(self.space, batch, context, options)
        self.start = {name: value.detach().clone() for name, value in self.variables.items()}
        self.noise = _noise(batch, context, options)
        self.leaves = [*(self.variables.values() if options.code == "optimise" else ())]
        self.leaves += self.noise if options.noise == "optimise" else []
        for leaf in self.leaves:
            leaf.requires_grad_()
        self.preview = Preview(context.generator, options.preview_px) if options.preview_steps else None
        self.early = self.full = None
        if self.preview:
            self.early = Objective(options.objective, batch, context, options.preview_px)
        if options.preview_steps < options.steps:
            self.full = Objective(options.objective, batch, context)
        self.jitter = _Jitter(self.space, batch.seeds, options)
        n = len(batch)
        self.trace = torch.full((n, options.steps), math.nan)
        self.alive = torch.ones(n, dtype=torch.bool)
        self.best_value = torch.full((n,), math.inf)
        self.best_step = torch.zeros(n, dtype=torch.long)
        self.best = {name: value.detach().clone() for name, value in self.variables.items()}
        self.best_noise = [value.detach().clone() for value in self.noise]

    def value(self, step: int) -> Tensor:
        """The objective [N] of the present code."""
        options, early = self.options, step < self.options.preview_steps
        told = self.space.decode(self.jitter(self.variables, step / options.steps))
        told = dataclasses.replace(told, noise=self.noise or ("none" if options.noise == "none" else "const"))
        if early:
            assert self.preview is not None and self.early is not None
            if step % options.preview_every == 0:
                self.preview.fit(told)
            images = self.preview.draw(told)
            value = self.early(images)
        else:
            assert self.full is not None
            images = self.context.generator.synthesize(told)
            value = self.full(images)
        code = Penalised(self.space, self.variables, self.start, told, images, self.context)
        for name, weight in options.regularise.items():
            value = value + weight * REGULARISERS[name](code)
        if options.noise_weight:
            value = value + options.noise_weight * noise_penalty(self.noise)
        return value

    def note(self, step: int, value: Tensor) -> Tensor:
        """Write a step's objective down, and the code it belongs to if it is the best so far."""
        seen = value.detach().cpu()
        if step == self.options.preview_steps:
            self.best_value.fill_(math.inf)  # the stand-in's objective does not compare with the picture's
        self.alive &= seen.isfinite()
        self.trace[:, step] = seen
        better = self.alive & (seen < self.best_value)
        self.best_value[better], self.best_step[better] = seen[better], step
        if better.any():
            for name, tensor in self.variables.items():
                self.best[name][better] = tensor.detach()[better]
            for kept, tensor in zip(self.best_noise, self.noise, strict=True):
                kept[better] = tensor.detach()[better]
        return seen

    def backward(self, value: Tensor) -> None:
        """Gradients of every living image; a diverged one is left out whole."""
        for leaf in self.leaves:
            leaf.grad = None
        # Images are independent, so the sum's gradient is each image's own.
        torch.where(self.alive.to(value.device), value, torch.zeros_like(value)).sum().backward()
        for leaf in self.leaves:
            if leaf.grad is not None:
                leaf.grad[~self.alive] = 0

    def after_step(self) -> None:
        """Back onto the manifolds."""
        if self.options.code == "optimise":
            self.space.retract_(self.variables)
        if self.options.noise == "optimise" and self.options.noise_normalise:
            normalise_noise_(self.noise)

    def result(self) -> Inversion:
        """The last codes, or the best where an image diverged or the options say so."""
        self.alive &= _finite(self.variables, self.noise)
        chosen = ~self.alive if self.options.keep == "last" else torch.ones_like(self.alive)
        final = {name: value.detach().clone() for name, value in self.variables.items()}
        for name, tensor in final.items():
            tensor[chosen] = self.best[name][chosen]
        maps = [value.detach().clone() for value in self.noise]
        for kept, tensor in zip(self.best_noise, maps, strict=True):
            tensor[chosen] = kept[chosen]
        lost = "the objective stopped being finite; the best code before that is kept"
        return Inversion(
            space=self.options.space,
            variables={name: value.cpu() for name, value in final.items()},
            noise=[value.cpu() for value in maps],
            trace=self.trace,
            best_step=self.best_step,
            status=["ok" if good else "diverged" for good in self.alive],
            reason=["" if good else lost for good in self.alive],
        )


def _adam(run: _Run) -> Callable[[int], Tensor]:
    adam = torch.optim.Adam(run.leaves, lr=run.options.lr, betas=(0.9, 0.999), eps=1e-8)

    def step_of(step: int) -> Tensor:
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, run.options)
        value = run.value(step)
        seen = run.note(step, value)
        run.backward(value)
        adam.step()
        return seen

    return step_of


def _lbfgs(run: _Run) -> Callable[[int], Tensor]:
    """One iteration a step, its length found by line search; curvature is kept between steps."""
    # Its own ideas of "close enough" are of no use for losses of 1e-3: only `steps` ends the search.
    lbfgs = torch.optim.LBFGS(
        run.leaves,
        lr=run.options.lr,
        max_iter=1,
        max_eval=25,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def step_of(step: int) -> Tensor:
        first: list[Tensor] = []

        def closure() -> Tensor:
            value = run.value(step)
            if not first:
                first.append(run.note(step, value))
            run.backward(value)
            return value.detach().sum()

        lbfgs.step(closure)
        return first[0]

    return step_of


def _initial(space: Space, batch: Batch, context: Context, options: OptimiseOptions) -> Variables:
    if options.init == "random":
        return space.from_random(batch.seeds)
    if options.init == "previous":
        found = batch.require_start()
        if found.weights:
            raise ParamsError("init: previous: the stage before has tuned the generator; tuning comes last")
        variables = {name: value.to(context.device).clone() for name, value in found.variables.items()}
        if found.space == options.space:
            return variables
        ws = make_space(found.space, context.generator).to_ws(variables)
    elif options.init == "encoder":
        return space.adopt(context.require_encoder().encode(batch.targets), batch.seeds, options.detail_init)
    else:
        ws = context.generator.w_avg.expand(len(batch), context.generator.num_ws, -1)
    return space.start(ws, batch.seeds, options.detail_init)


def _noise(batch: Batch, context: Context, options: OptimiseOptions) -> list[Tensor]:
    """The maps that the generator is given, or none where it uses its own (or no noise)."""
    start = batch.start.noise if batch.start is not None else []
    if start:  # maps that an earlier stage found belong to its code
        return [value.to(context.device).clone() for value in start]
    if options.noise != "optimise":
        return []
    if options.noise_init == "stored":
        return [value.expand(len(batch), -1, -1, -1).clone() for value in context.generator.stored_noise()]
    return [
        normal([item_seed(seed, "noise", i) for seed in batch.seeds], (1, *shape)).to(context.device)
        for i, shape in enumerate(context.generator.noise_shapes)
    ]


def _finite(variables: Variables, noise: list[Tensor]) -> Tensor:
    tensors = [*variables.values(), *noise]
    return torch.stack([tensor.detach().flatten(1).isfinite().all(dim=1).cpu() for tensor in tensors]).all(dim=0)


class _Jitter:
    """Decaying Gaussian noise on the code: ``w + N(0, 1) * w_std * strength * max(0, 1 - t / 0.75)^2``."""

    def __init__(self, space: Space, seeds: Sequence[int], options: OptimiseOptions) -> None:
        self.strength = options.latent_noise
        self.sources = [torch.Generator("cpu").manual_seed(item_seed(seed, "jitter")) for seed in seeds]
        self.spread = 1.0
        if self.strength and space.direction_space == "w":
            generator = space.generator
            z = normal(range(10_000), (generator.z_dim,)).to(generator.w_avg)
            with torch.no_grad():
                # The projector's definition: one number, the RMS distance from the mean code.
                squares = [(generator.map_to_w(part) - generator.w_avg).square().sum(-1) for part in z.split(1000)]
            self.spread = float(torch.cat(squares).mean().sqrt())

    def __call__(self, variables: Variables, t: float) -> Variables:
        scale = self.strength * self.spread * max(0.0, 1 - t / 0.75) ** 2
        if not scale:
            return variables
        return {
            name: value
            + scale * torch.stack([torch.randn(value.shape[1:], generator=s) for s in self.sources]).to(value)
            for name, value in variables.items()
        }

"""Inversion by gradient descent on a code: every optimisation method is a preset of this one loop.

StyleGAN2's projector, Image2StyleGAN and the ablations of the F/Z+ paper differ only in space, initialiser, objective
and schedule (METHODS of the documentation list the constants).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.errors import ParamsError, UnsupportedError
from ganvert.generators.base import Generator
from ganvert.generators.preview import Preview
from ganvert.inverters.base import Context, Inversion, OnStep
from ganvert.inverters.objective import REGULARISERS, Objective, Penalised, Term
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.registry import lookup
from ganvert.seeds import item_seed, normal
from ganvert.spaces import DetailInit, Space, Variables, check_space, make_space

__all__ = ["OptimiseOptions", "learning_rate", "optimise"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiseOptions:
    """params.yaml: invert.options.NAME with ``inverter: optimise``.

    Attributes:
        space: latent space (``ganvert.spaces.SPACES``), or ``fSIZE/SPACE`` for a feature map of SIZE px over one.
        init: ``mean`` (w_avg), ``random`` (the prior, by the image's seed) or ``encoder``.
        detail_init: where the rows behind a feature map begin: ``ws``, those that made the map (random in Z and Z+),
            ``mean`` or ``random``.
        steps: Adam steps in all.
        lr: learning rate at full height.
        ramp_up, ramp_down: fraction of the steps spent rising linearly and falling along a cosine.
        objective: image losses.
        regularise: weights of penalties of the code (``ganvert.inverters.objective.REGULARISERS``).
        noise: the generator's stored maps, none, or maps optimised along with the code.
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
    init: Literal["mean", "random", "encoder"] = "mean"
    detail_init: DetailInit = "ws"
    steps: int
    lr: float
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    objective: tuple[Term, ...]
    regularise: dict[str, float] = dataclasses.field(default_factory=dict)
    noise: Literal["const", "none", "optimise"] = "const"
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
        if self.preview_steps and self.noise == "optimise":
            raise ParamsError("preview_steps cannot see optimised noise: set one of them off")

    def check(self, generator: Generator) -> None:
        """UnsupportedError where the generator lacks what these options use."""
        make_space(self.space, generator)
        if self.preview_steps:
            Preview(generator, self.preview_px)
        if self.noise == "optimise" and not generator.noise_shapes:
            raise UnsupportedError(
                f"noise: optimise: {generator.architecture} has no noise inputs; set noise: const and noise_weight: 0"
            )


def learning_rate(step: int, options: OptimiseOptions) -> float:
    """Height of the schedule at a step (StyleGAN2 projector: linear rise, flat, cosine fall)."""
    t = step / options.steps
    height = 1.0
    if options.ramp_down:
        fall = min(1.0, (1.0 - t) / options.ramp_down)
        height *= 0.5 - 0.5 * math.cos(math.pi * fall)
    if options.ramp_up:
        height *= min(1.0, t / options.ramp_up)
    return options.lr * height


def optimise(
    targets: Tensor, seeds: Sequence[int], context: Context, options: OptimiseOptions, on_step: OnStep | None = None
) -> Inversion:
    """Invert a batch of images that do not influence each other.

    Args:
        targets: [N, 3, resolution, resolution] in [-1, 1], on the context's device; three equal channels where the
            generator is grey.
        seeds: one per image.
        context: generator and what the options need beside it.
        options: the preset.
        on_step: told the objective after every step.

    Returns:
        Codes, trace, and status per image. An image whose objective stops being finite keeps its best code and is
        ``diverged``; the others are untouched.

    Raises:
        UnsupportedError: the options need an encoder that the context lacks, or a feature the generator lacks.
    """
    generator = context.generator
    options.check(generator)
    space = make_space(options.space, generator)
    preview = Preview(generator, options.preview_px) if options.preview_steps else None
    variables = _initial(space, targets, seeds, context, options)
    start = {name: value.detach().clone() for name, value in variables.items()}
    noise = _noise(seeds, context) if options.noise == "optimise" else []
    leaves = [value.requires_grad_() for value in (*variables.values(), *noise)]
    adam = torch.optim.Adam(leaves, lr=options.lr, betas=(0.9, 0.999), eps=1e-8)
    early = Objective(options.objective, targets, context.folder, options.preview_px) if preview else None
    full = Objective(options.objective, targets, context.folder) if options.preview_steps < options.steps else None
    jitter = _Jitter(space, seeds, options)

    n = len(targets)
    trace = torch.full((n, options.steps), math.nan)
    best_value = torch.full((n,), math.inf)
    best_step = torch.zeros(n, dtype=torch.long)
    best = {name: value.detach().clone() for name, value in variables.items()}
    best_noise = [value.detach().clone() for value in noise]
    alive = torch.ones(n, dtype=torch.bool)

    for step in range(options.steps):
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, options)
        told = space.decode(jitter(variables, step / options.steps))
        told = dataclasses.replace(told, noise=noise if options.noise == "optimise" else options.noise)
        if preview is not None and step < options.preview_steps:
            if step % options.preview_every == 0:
                preview.fit(told)
            value = early(preview.draw(told))  # type: ignore[misc]
        else:
            if step == options.preview_steps:
                best_value.fill_(math.inf)  # the two objectives are not comparable
            value = full(generator.synthesize(told))  # type: ignore[misc]
        value = value + _penalty(Penalised(space, variables, start, told), noise, options)

        seen = value.detach().cpu()
        alive &= seen.isfinite()
        trace[:, step] = seen
        better = alive & (seen < best_value)
        best_value[better], best_step[better] = seen[better], step
        if better.any():
            for name, tensor in variables.items():
                best[name][better] = tensor.detach()[better]
            for kept, tensor in zip(best_noise, noise, strict=True):
                kept[better] = tensor.detach()[better]

        adam.zero_grad(set_to_none=True)
        # Images are independent, so the sum's gradient is each image's own; a diverged one is left out whole.
        torch.where(alive.to(value.device), value, torch.zeros_like(value)).sum().backward()
        for leaf in leaves:
            if leaf.grad is not None:
                leaf.grad[~alive] = 0
        adam.step()
        space.retract_(variables)
        if noise:
            normalise_noise_(noise)
        if on_step is not None:
            on_step(step + 1, options.steps, seen)

    alive &= _finite(variables, noise)
    chosen = ~alive if options.keep == "last" else torch.ones_like(alive)
    final = {name: value.detach().clone() for name, value in variables.items()}
    for name, tensor in final.items():
        tensor[chosen] = best[name][chosen]
    maps = [value.detach().clone() for value in noise]
    for kept, tensor in zip(best_noise, maps, strict=True):
        tensor[chosen] = kept[chosen]
    return Inversion(
        space=options.space,
        variables={name: value.cpu() for name, value in final.items()},
        noise=[value.cpu() for value in maps],
        trace=trace,
        best_step=best_step,
        status=["ok" if good else "diverged" for good in alive],
        reason=[
            "" if good else "the objective stopped being finite; the best code before that is kept" for good in alive
        ],
    )


def _initial(
    space: Space, targets: Tensor, seeds: Sequence[int], context: Context, options: OptimiseOptions
) -> Variables:
    generator = context.generator
    if options.init == "random":
        return space.from_random(seeds)
    if options.init == "encoder":
        return space.start(context.require_encoder().encode(targets), seeds, options.detail_init)
    return space.start(generator.w_avg.expand(len(targets), generator.num_ws, -1), seeds, options.detail_init)


def _noise(seeds: Sequence[int], context: Context) -> list[Tensor]:
    return [
        normal([item_seed(seed, "noise", i) for seed in seeds], (1, *shape)).to(context.device)
        for i, shape in enumerate(context.generator.noise_shapes)
    ]


def _penalty(code: Penalised, noise: list[Tensor], options: OptimiseOptions) -> Tensor | float:
    total: Tensor | float = 0.0
    for name, weight in options.regularise.items():
        total = total + weight * REGULARISERS[name](code)
    if noise and options.noise_weight:
        total = total + options.noise_weight * noise_penalty(noise)
    return total


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

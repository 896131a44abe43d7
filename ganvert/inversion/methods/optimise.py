"""Inversion by gradient descent on a code: every optimisation method is a preset of this one loop.

StyleGAN2's projector, Image2StyleGAN and the ablations of the F/Z+ paper differ only in space, initialiser, objective
and schedule (METHODS of the documentation list the constants).
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.base.seeds import item_seed
from ganvert.compute.memory import auto_batch, memory_budget, out_of_memory, peak_memory
from ganvert.compute.random import normal
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, fingerprint_of, join
from ganvert.inversion.objective import REGULARISERS, Objective, Penalised, Term, inputs_of
from ganvert.inversion.preview import Fitted, Preview
from ganvert.inversion.schedule import learning_rate
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.spaces import DetailInit, Space, Variables, check_space, make_space

__all__ = ["OptimiseOptions", "Plateau", "optimise"]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plateau:
    """When an image counts as converged.

    Its best objective of the last `window` steps is less than `drop` (relative) below its best before them. Steps of
    the preview and of the ramp up do not count. The steps that were spared would have had the small rates of a
    `ramp_down`, which often win the last per cents: without a ramp, or with ``keep: best``, less is lost.

    Attributes:
        window: steps, 2 or more.
        drop: between 0 and 1; 0 stops where nothing is gained any more.
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
        regularise: weights of penalties of the code (``ganvert.inversion.objective.REGULARISERS``).
        noise: the generator's stored maps, none, or maps that are optimised. Maps of the stage before stay in use.
        noise_init: where optimised maps begin: ``random`` by the image's seed, or ``stored``.
        noise_normalise: give them zero mean and unit RMS after every step.
        noise_weight: weight of the projector's noise regulariser when maps are optimised.
        latent_noise: strength of decaying Gaussian noise on the code, relative to the spread of w
            (StyleGAN2 projector: 0.05).
        preview_steps: how many of the first steps see a stand-in for the picture (``ganvert.inversion.preview``).
        preview_px: size of the feature it is made of; rows of ws that act after that feature rest in those steps,
            and no loss looks at more pixels.
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
        return self.init == "encoder" or self.encodes

    @property
    def encodes(self) -> bool:
        """Whether a penalty shows the pictures to an encoder."""
        return any(name.startswith("encoder") for name in self.regularise)

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

    At most ``context.side_by_side`` of them are worked on at once. One that is done makes room for the next, whose
    target is prepared only then; where memory runs out, half of them wait.

    Args:
        batch: the images, and what an earlier stage found.
        context: generator and what the options need beside it.
        options: the preset.
        on_step: told the objective of the images that are worked on after every step of theirs.

    Returns:
        Codes, trace, and status per image. An image whose objective stops being finite keeps its best code and is
        ``diverged``; the others are untouched.

    Raises:
        UnsupportedError: the options need an encoder that the context lacks, or a feature the generator lacks; or
            there is no memory for a single image.
        ParamsError: the options go on from an earlier stage, and there is none.
    """
    options.check(context.generator)
    run = _Run(batch, context, options)
    while run.busy:
        seen, full = None, ""
        try:
            seen = run.step()
        except Exception as error:
            if not out_of_memory(error):
                raise
            full = (str(error) or "out of memory").splitlines()[0]  # the error itself holds on to tensors of the step
        if seen is None:
            run.make_room(full)
        elif on_step is not None:
            on_step(run.steps_done / len(batch), options.steps, seen)
    return join([run.found[i] for i in range(len(batch))])


class _Run:
    """A batch on its way: images that wait, those in work, and what was found for the others."""

    def __init__(self, batch: Batch, context: Context, options: OptimiseOptions) -> None:
        self.batch, self.context, self.options = batch, context, options
        self.engine, self.key = context.engine, fingerprint_of(options)
        self.space = make_space(options.space, context.generator)
        self.preview = Preview(context.generator, options.preview_px, self.engine) if options.preview_steps else None
        self.encoder_px = context.require_encoder().input_px if options.encodes else 0
        self.spread = _spread(self.space, options)
        if options.optimiser == "lbfgs":  # one curvature estimate for all would couple the images
            self.room = 1
        else:  # two are measured before more come
            self.room = context.side_by_side or (2 if _helps(context.device) else 1)
        self.waiting: deque[int | _Lane] = deque(range(len(batch)))
        self.lanes: list[_Lane] = []
        self.found: dict[int, Inversion] = {}
        self._begun = False
        self._joined: dict[bool, tuple[list[_Lane], Objective]] = {}

    @property
    def busy(self) -> bool:
        """Whether there is something left to do."""
        return bool(self.lanes or self.waiting)

    @property
    def steps_done(self) -> int:
        """Steps of all images together; those that an image is spared count."""
        begun = [*self.lanes, *(lane for lane in self.waiting if isinstance(lane, _Lane))]
        return self.options.steps * len(self.found) + sum(lane.step for lane in begun)

    def step(self) -> Tensor:
        """One step of every image in work: their objectives."""
        self._enter()
        if not self._begun:
            self._begin()
            self._enter()
        groups = {early: [lane for lane in self.lanes if lane.early is early] for early in (True, False)}
        self._joined = {early: kept for early, kept in self._joined.items() if groups[early]}
        return torch.cat([self._step(lanes, early) for early, lanes in groups.items() if lanes])

    def make_room(self, why: str) -> None:
        """Let half of the images in work wait, and never have more than the others again.

        Raises:
            UnsupportedError: there is only one.
        """
        crowd = min(self.room, len(self.lanes) + len(self.waiting))
        if crowd <= 1:
            raise UnsupportedError(
                f"{self.context.device}: wanted memory for one image, there is too little ({why}); "
                "end other programs there, or take another device"
            )
        if self.context.side_by_side is None:
            self.engine.fitting[self.key] = crowd // 2
        self._limit(crowd // 2)
        if self.context.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("memory ran out with %d images side by side; going on with %d", crowd, self.room)

    def _begin(self) -> None:
        """Measure on the first images how fast to compute, and how many fit side by side."""
        engine, device = self.engine, self.context.device
        engine.settle(self.key, lambda: self._probe(self.lanes))
        if self.context.side_by_side is None and len(self.lanes) > 1:
            if self.key not in engine.fitting:

                def measure(count: int) -> int:
                    return peak_memory(device, lambda: self._probe(self.lanes[:count]))

                engine.fitting[self.key] = auto_batch(measure, memory_budget(device))
                log.info("%d images fit side by side", engine.fitting[self.key])
            self._limit(engine.fitting[self.key])
        self._begun = True

    def _limit(self, room: int) -> None:
        """Never have more images in work than that: others wait, with all they have reached."""
        parked, self.lanes, self.room = self.lanes[room:], self.lanes[:room], room
        for lane in parked:
            lane.objective = None  # prepared anew when it goes on
        self.waiting.extendleft(reversed(parked))
        self._joined.clear()

    def _enter(self) -> None:
        """Images that wait take the free places."""
        while self.waiting and len(self.lanes) < self.room:
            first = self.waiting[0]
            self.lanes.append(first if isinstance(first, _Lane) else _Lane(self, first))
            self.waiting.popleft()

    def _step(self, lanes: list[_Lane], early: bool) -> Tensor:
        """One step of images that all see the same kind of picture."""
        firsts: list[Tensor] = []

        def evaluate() -> Tensor:
            value = self._value(lanes, early, self._objective(lanes, early))
            seen = value.detach().cpu()
            if not firsts:
                firsts.append(seen)
                for lane, number in zip(lanes, seen.tolist(), strict=True):
                    lane.note(number)
            self._backward(lanes, value)
            return seen.sum()

        if early and (due := [lane for lane in lanes if lane.step % self.options.preview_every == 0]):
            self._fit(due)
        with self.engine.running():
            if isinstance(lanes[0].optimiser, torch.optim.LBFGS):
                lanes[0].optimiser.step(evaluate)
            else:
                evaluate()
        for lane in lanes:
            lane.finish_step()
            if lane.done:
                self.found[lane.index] = lane.result()
                self.lanes.remove(lane)
        return firsts[0]

    def _objective(self, lanes: list[_Lane], early: bool) -> Objective:
        """That of all of them, joined anew when somebody came or went."""
        if early not in self._joined or self._joined[early][0] != lanes:
            self._joined.pop(early, None)  # makes room before the next is made
            self._joined[early] = lanes, Objective.join([lane.prepared() for lane in lanes])
        return self._joined[early][1]

    def _told(self, lanes: list[_Lane]) -> SynthesisInput:
        """What the generator is told for the present codes."""
        told = self.space.decode(_joined([lane.jittered() for lane in lanes]))
        noise = [_cat(maps) for maps in zip(*(lane.noise for lane in lanes), strict=True)]
        return dataclasses.replace(told, noise=noise or ("none" if self.options.noise == "none" else "const"))

    @torch.no_grad()
    def _fit(self, lanes: list[_Lane]) -> None:
        """Fit the stand-in to the present codes."""
        assert self.preview is not None
        for lane, fitted in zip(lanes, self.preview.fit(self._told(lanes)), strict=True):
            lane.fitted = fitted

    def _value(self, lanes: list[_Lane], early: bool, objective: Objective) -> Tensor:
        """The objective [N] of the present codes."""
        told = self._told(lanes)
        if early:
            assert self.preview is not None
            images = self.preview.draw(told, Fitted.join([lane.fitted for lane in lanes if lane.fitted]))
        else:
            images = self.engine.synthesize(told, max(objective.px, self.encoder_px))
        with self.engine.autocast():
            value = objective(images)
        if self.options.regularise:
            variables, start = _joined([lane.variables for lane in lanes]), _joined([lane.start for lane in lanes])
            code = Penalised(self.space, variables, start, told, images, self.context)
            for name, weight in self.options.regularise.items():
                value = value + weight * REGULARISERS[name](code)
        if self.options.noise_weight:
            assert not isinstance(told.noise, str)
            value = value + self.options.noise_weight * noise_penalty(told.noise)
        return value

    @staticmethod
    def _backward(lanes: list[_Lane], value: Tensor) -> None:
        """Gradients of every living image; a diverged one is left out whole."""
        for leaf in (leaf for lane in lanes for leaf in lane.leaves):
            leaf.grad = None
        # Images are independent, so the sum's gradient is each image's own.
        alive = torch.tensor([lane.alive for lane in lanes], device=value.device)
        torch.where(alive, value, torch.zeros_like(value)).sum().backward()
        for leaf in (leaf for lane in lanes if not lane.alive for leaf in lane.leaves):
            if leaf.grad is not None:
                leaf.grad.zero_()

    def _probe(self, lanes: list[_Lane]) -> tuple[Tensor, Tensor]:
        """The objective [N] of the present codes and its gradient [N, numbers], on the full picture."""
        with self.engine.autocast():
            prepared = [Objective(self.options.objective, lane.batch, self.context) for lane in lanes]
        with self.engine.running():
            value = self._value(lanes, False, Objective.join(prepared))
            leaves = [leaf for lane in lanes for leaf in lane.leaves]
            found = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
        each = zip(*[iter(found)] * len(lanes[0].leaves), strict=True)
        return value.detach(), torch.stack([torch.cat([part.flatten() for part in parts]) for parts in each])


class _Lane:
    """One image in work: its leaves [1, ...], its optimiser, and the best code so far."""

    def __init__(self, run: _Run, index: int) -> None:
        context, options = run.context, run.options
        self.run, self.options, self.index = run, options, index
        self.batch = run.batch.select(index).to(context.device)
        self.variables = _initial(run.space, self.batch, context, options)
        self.start = {name: value.detach().clone() for name, value in self.variables.items()}
        self.noise = _noise(self.batch, context, options)
        self.leaves = [*(self.variables.values() if options.code == "optimise" else ())]
        self.leaves += self.noise if options.noise == "optimise" else []
        for leaf in self.leaves:
            leaf.requires_grad_()
        self.optimiser = _optimiser(self.leaves, options)
        self.objective: Objective | None = None
        self.fitted: Fitted | None = None
        self._source = torch.Generator("cpu").manual_seed(item_seed(self.batch.seeds[0], "jitter"))
        self._jitter: tuple[int, Variables] = -1, {}
        self.step, self.alive = 0, True
        self.trace = torch.full((1, options.steps), math.nan)
        self.best_value, self.best_step = math.inf, 0
        self.best = {name: value.clone() for name, value in self.start.items()}
        self.best_noise = [value.detach().clone() for value in self.noise]

    @property
    def early(self) -> bool:
        """Whether its next step sees the stand-in."""
        return self.step < self.options.preview_steps

    @property
    def done(self) -> bool:
        """Whether there is nothing more to gain."""
        return not self.alive or self.step == self.options.steps or self._flat()

    def _flat(self) -> bool:
        """See :class:`Plateau`."""
        stop, options = self.options.stop, self.options
        if stop is None:
            return False
        seen = self.trace[0, max(options.preview_steps, math.ceil(options.ramp_up * options.steps)) : self.step]
        if len(seen) <= stop.window:
            return False
        return bool(seen[-stop.window :].min() > (1 - stop.drop) * seen[: -stop.window].min())

    def prepared(self) -> Objective:
        """The objective of its next step."""
        if self.objective is None:
            limit = self.options.preview_px if self.early else None
            with self.run.engine.autocast():
                self.objective = Objective(self.options.objective, self.batch, self.run.context, limit)
        return self.objective

    def jittered(self) -> Variables:
        """The code with decaying Gaussian noise: ``w + N(0, 1) * w_std * strength * max(0, 1 - t / 0.75)^2``."""
        t = self.step / self.options.steps
        scale = self.options.latent_noise * self.run.spread * max(0.0, 1 - t / 0.75) ** 2
        if not scale:
            return self.variables
        if self._jitter[0] != self.step:  # a step that is tried again has the same noise
            drawn = {name: torch.randn(value.shape[1:], generator=self._source) for name, value in self.start.items()}
            self._jitter = self.step, drawn
        drawn = self._jitter[1]
        return {name: value + scale * drawn[name].unsqueeze(0).to(value) for name, value in self.variables.items()}

    def note(self, value: float) -> None:
        """Write a step's objective down, and the code it belongs to if it is the best so far."""
        if self.step == self.options.preview_steps:
            self.best_value = math.inf  # the stand-in's objective does not compare with the picture's
        self.alive = math.isfinite(value)
        self.trace[0, self.step] = value
        if self.alive and value < self.best_value:
            self.best_value, self.best_step = value, self.step
            for name, tensor in self.variables.items():
                self.best[name].copy_(tensor.detach())
            for kept, tensor in zip(self.best_noise, self.noise, strict=True):
                kept.copy_(tensor.detach())

    def finish_step(self) -> None:
        """A step along the gradients (L-BFGS has taken its own), and back onto the manifolds."""
        if isinstance(self.optimiser, torch.optim.Adam) and self.alive:
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.step, self.options)
            self.optimiser.step()
        if self.options.code == "optimise":
            self.run.space.retract_(self.variables)
        if self.options.noise == "optimise" and self.options.noise_normalise:
            normalise_noise_(self.noise)
        self.step += 1
        if self.step == self.options.preview_steps:
            self.objective = self.fitted = None

    def result(self) -> Inversion:
        """The last code, or the best where the image diverged or the options say so."""
        alive = self.alive and all(bool(value.isfinite().all()) for value in (*self.variables.values(), *self.noise))
        last = alive and self.options.keep == "last"
        variables, noise = (self.variables, self.noise) if last else (self.best, self.best_noise)
        lost = "the objective stopped being finite; the best code before that is kept"
        return Inversion(
            space=self.options.space,
            variables={name: value.detach().cpu() for name, value in variables.items()},
            noise=[value.detach().cpu() for value in noise],
            trace=self.trace,
            best_step=torch.tensor([self.best_step]),
            status=["ok" if alive else "diverged"],
            reason=["" if alive else lost],
        )


def _helps(device: torch.device) -> bool:
    """Whether several images side by side are faster than one after the other: a CPU has its hands full with one."""
    return device.type != "cpu"


def _cat(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _joined(codes: Sequence[Variables]) -> Variables:
    """Codes of single images as one of all."""
    return {name: _cat([code[name] for code in codes]) for name in codes[0]}


def _optimiser(leaves: list[Tensor], options: OptimiseOptions) -> torch.optim.Optimizer:
    if options.optimiser == "adam":
        return torch.optim.Adam(leaves, lr=options.lr, betas=(0.9, 0.999), eps=1e-8)
    # One iteration a step, its length found by line search; curvature is kept between steps. Its own ideas of "close
    # enough" are of no use for losses of 1e-3: only `steps` ends the search.
    return torch.optim.LBFGS(
        leaves,
        lr=options.lr,
        max_iter=1,
        max_eval=25,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


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


def _spread(space: Space, options: OptimiseOptions) -> float:
    """What the strength of latent noise is relative to: the spread of w, or 1 for codes on spheres."""
    if not options.latent_noise or space.direction_space != "w":
        return 1.0
    generator = space.generator
    z = normal(range(10_000), (generator.z_dim,)).to(generator.w_avg)
    with torch.no_grad():
        # The projector's definition: one number, the RMS distance from the mean code.
        squares = [(generator.map_to_w(part) - generator.w_avg).square().sum(-1) for part in z.split(1000)]
    return float(torch.cat(squares).mean().sqrt())

"""Inversion by tuning the generator around a code that stays where it is.

Pivotal tuning (Roich et al. 2021) and near-perfect GAN inversion (arXiv 2202.11833) are presets of this one loop; the
pivot is the code of the stage before, of any space.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.discriminators import Discriminator, fresh
from ganvert.discriminators.losses import logistic_discriminator, logistic_generator, r1_penalty
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.tuned import copy_of
from ganvert.images import area_resize, as_rgb
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, join, part_of
from ganvert.inversion.objective import Objective, Term, inputs_of
from ganvert.inversion.schedule import learning_rate
from ganvert.spaces import make_space

__all__ = ["Adversarial", "Locality", "StopAt", "TuneOptions", "tune", "tuned_names"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopAt:
    """Stop as soon as this loss of the picture is at most `below`.

    Attributes:
        loss, resolution: as in :class:`Term`.
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
        objective: losses of the tuned generator's picture against the old one's, at a code `distance` away.
        distance: length of the step from the pivot towards a random code, over all rows of ws together.
        psi: truncation of that random code.
        every: once in so many steps.
    """

    objective: tuple[Term, ...]
    distance: float = 30.0
    psi: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        if not self.objective or self.every < 1 or self.distance <= 0:
            raise ParamsError("locality: objective must not be empty, every at least 1, distance above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
    """The two GAN games of near-perfect inversion, played with the checkpoint's discriminator or a new one.

    Attributes:
        local: weight of ``softplus(-D(G(code)))`` beside the objective; D tells the photograph from G(code).
        everywhere: weight of ``softplus(-D(G(random code)))``; D tells samples of the old generator from the tuned
            one's.
        every: the second game is played once in so many steps.
        samples: random codes each time.
        lr: Adam's rate for D.
        r1, r1_every: weight of the gradient penalty at the real pictures, and how seldom it is applied.
        resolution: of a new discriminator.
        channels: of a new discriminator, at its widest.
    """

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """params.yaml: invert.options.NAME with ``inverter: tune`` (a stage behind another one).

    Attributes:
        tuned: ``synthesis``, everything behind the mapping network, or ``features``: without the affine layers, so
            that a direction keeps its meaning.
        steps: at most so many.
        lr: Adam's rate at full height.
        betas: Adam's.
        ramp_up, ramp_down: as in :class:`ganvert.inversion.methods.optimise.OptimiseOptions`.
        objective: losses of the picture against the photograph.
        share: fraction of the steps in which the objective acts; the others are for the adversarial game alone.
        stop: when to stop early.
        locality: see :class:`Locality`.
        adversarial: see :class:`Adversarial`.
        noise: maps of the ``previous`` stage, if it found any, or the generator's own, ``const``.
        together: one generator for all photographs, which take turns in every step, in place of one for each.
        keep: the ``last`` weights, or the ``best`` by the objective.
    """

    tuned: Literal["synthesis", "features"] = "synthesis"
    steps: int
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    objective: tuple[Term, ...]
    share: float = 1.0
    stop: StopAt | None = None
    locality: Locality | None = None
    adversarial: Adversarial | None = None
    noise: Literal["previous", "const"] = "previous"
    together: bool = False
    keep: Literal["last", "best"] = "last"
    needs_encoder: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.lr <= 0 or not self.objective:
            raise ParamsError("steps must be at least 1, lr above 0, and objective not empty")
        if not 0 < self.share <= 1:
            raise ParamsError(f"share must be above 0 and at most 1, got {self.share}")
        if self.share < 1 and self.adversarial is None:
            raise ParamsError("share below 1 leaves steps without any loss unless there is an adversarial game")
        if self.together and (self.stop or self.adversarial):
            raise ParamsError("together: stop and adversarial are of single photographs")

    @property
    def needs_discriminator(self) -> bool:
        """Whether it plays a game against one."""
        return self.adversarial is not None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Masks and pictures that the objectives name."""
        return inputs_of([*self.objective, *(self.locality.objective if self.locality else ())])

    def check(self, generator: Generator) -> None:
        """Nothing here depends on the generator's architecture."""


def tuned_names(generator: Generator, tuned: Literal["synthesis", "features"]) -> list[str]:
    """Names of the parameters that tuning moves: all but the mapping's, and but the affine layers' in ``features``.

    Which is which is asked of autograd, so that it holds for every architecture.
    """
    probe = copy.deepcopy(generator).requires_grad_(True)
    z = normal([0], (generator.z_dim,)).to(generator.w_avg)
    labels = torch.eye(generator.label_dim, device=z.device)[:1] if generator.label_dim else None
    still = _reached(probe, probe.map_to_w(z, labels))
    if tuned == "features":
        ws = generator.w_avg.expand(1, generator.num_ws, -1)
        still |= _reached(probe, torch.cat([style.flatten() for style in probe.styles(ws).values()]))
    return [name for name, parameter in probe.named_parameters() if name not in still and parameter.is_floating_point()]


def _reached(module: nn.Module, output: Tensor) -> set[str]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    return {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}


def tune(batch: Batch, context: Context, options: TuneOptions, on_step: OnStep | None = None) -> Inversion:
    """Tune a generator for every photograph (or one for all) around the codes of ``batch.start``.

    Args:
        batch: the photographs, and the stage that found their codes.
        context: the generator as it is, and the discriminator of its checkpoint if there is one.
        options: the preset.
        on_step: told the objective.

    Returns:
        The codes of the start with ``weights``: what is added to the generator's parameters.

    Raises:
        ParamsError: there is no earlier stage.
        UnsupportedError: locality is asked for around a code that has no ws.
    """
    start = batch.require_start()
    if start.weights:
        raise ParamsError("tune: the stage before has tuned the generator already")
    if options.noise == "const":
        batch = dataclasses.replace(batch, start=dataclasses.replace(start, noise=[]))
    if options.together:
        order = sorted(range(len(batch)), key=lambda i: batch.seeds[i])  # not the order in which photographs came
        parts = [batch.select(i) for i in order]
        done = _tune(parts, context, options, on_step)
        back = sorted(range(len(order)), key=order.__getitem__)
        return join([done[i] for i in back])
    ticks = [part_of(on_step, i, 1, len(batch)) for i in range(len(batch))]
    return join([_tune([batch.select(i)], context, options, tick)[0] for i, tick in enumerate(ticks)])


class _Tuned:
    """A copy of the generator whose chosen parameters learn, and its best state so far."""

    def __init__(self, generator: Generator, options: TuneOptions) -> None:
        self.old, self.new = generator, copy_of(generator)
        chosen = set(tuned_names(generator, options.tuned))
        self.parameters = {name: p for name, p in self.new.named_parameters() if name in chosen}
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.adam = torch.optim.Adam(self.parameters.values(), lr=options.lr, betas=options.betas)
        self.best, self.best_value, self.best_step = self.copied(), math.inf, 0

    def copied(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def note(self, step: int, value: float) -> None:
        """Remember the weights that gave `value`, if it is the best so far."""
        if value < self.best_value:
            self.best, self.best_value, self.best_step = self.copied(), value, step

    def differences(self, keep: str) -> dict[str, Tensor]:
        """What was learned: name to new less old, float32 on the CPU."""
        now = self.best if keep == "best" else self.copied()
        before = dict(self.old.named_parameters())
        return {name: (value - before[name]).cpu() for name, value in now.items()}


def _tune(parts: Sequence[Batch], context: Context, options: TuneOptions, on_step: OnStep | None) -> list[Inversion]:
    """One generator for all of `parts`, batches of one photograph."""
    tuned = _Tuned(context.generator, options)
    pictures = [_Picture(part, tuned, context, options) for part in parts]
    around = [_Around(picture, tuned, context, options) for picture in pictures] if options.locality else []
    game = _Game(pictures[0], tuned, context, options) if options.adversarial else None
    trace = torch.full((len(parts), options.steps), math.nan)
    reason = ""
    for step in range(options.steps):
        for i, picture in enumerate(pictures):
            acts = next(picture.gate)
            loss, value = torch.zeros((), device=context.device), math.nan
            if acts:
                image = tuned.new.synthesize(picture.told())
                loss = picture.objective(image)[0]
                value = float(loss.detach())
                trace[i, step] = value
                if not math.isfinite(value):
                    reason = "the objective stopped being finite; the best weights before that are kept"
                    break
                if picture.near_enough(image):
                    break
                if len(pictures) == 1:
                    tuned.note(step, value)
                if game:
                    loss = loss + game.local(image)
            if around and step % around[i].every == 0:
                loss = loss + around[i].value(step)
            if game:
                loss = loss + game.everywhere(step)
            if not loss.requires_grad:
                continue
            for group in tuned.adam.param_groups:
                group["lr"] = learning_rate(step, options)
            tuned.adam.zero_grad(set_to_none=True)
            loss.backward()
            tuned.adam.step()
            if game:
                game.learn(step, acts)
        else:
            if len(pictures) > 1:
                tuned.note(step, float(trace[:, step].nansum()))
            if on_step is not None:
                on_step(step + 1, options.steps, trace[:, step])
            continue
        break
    broken = bool(reason) or not all(value.isfinite().all() for value in tuned.parameters.values())
    weights = tuned.differences("best" if broken else options.keep)
    found = []
    for i, part in enumerate(parts):
        start = part.require_start()
        found.append(
            dataclasses.replace(
                start,
                trace=trace[i : i + 1],
                best_step=torch.tensor([tuned.best_step]),
                status=["diverged"] if broken else list(start.status),
                reason=[reason or "the weights stopped being finite"] if broken else list(start.reason),
                weights=[weights],
            )
        )
    return found


class _Picture:
    """One photograph: what the generator is told for it, and how far off the picture is."""

    def __init__(self, part: Batch, tuned: _Tuned, context: Context, options: TuneOptions) -> None:
        start = part.require_start()
        self.space = make_space(start.space, tuned.new)
        self.variables = {name: value.to(context.device) for name, value in start.variables.items()}
        self.noise = [value.to(context.device) for value in start.noise]
        self.seed, self.targets = part.seeds[0], part.targets
        self.objective = Objective(options.objective, part, context)
        self.below, self.stop = math.inf, None
        if options.stop:
            term = Term(loss=options.stop.loss, resolution=options.stop.resolution)
            self.below, self.stop = options.stop.below, Objective((term,), part, context)
        self.gate = self._gate(options.share)

    def told(self) -> SynthesisInput:
        """What the tuned generator is told; in Z++ its affine layers have a say in that."""
        told = self.space.decode(self.variables)
        return dataclasses.replace(told, noise=self.noise) if self.noise else told

    @torch.no_grad()
    def near_enough(self, image: Tensor) -> bool:
        """Whether the tuning may stop."""
        return self.stop is not None and float(self.stop(image.detach())) <= self.below

    def _gate(self, share: float) -> Iterator[bool]:
        """Whether the objective acts in a step: always with share 1, otherwise a coin of the photograph's own."""
        source = torch.Generator("cpu").manual_seed(item_seed(self.seed, "gate"))
        while True:
            yield share == 1 or float(torch.rand((), generator=source)) < share


class _Around:
    """Locality regularisation around one photograph's code."""

    def __init__(self, picture: _Picture, tuned: _Tuned, context: Context, options: TuneOptions) -> None:
        assert options.locality is not None
        told = picture.told()
        if told.ws is None or told.features or told.styles:
            raise UnsupportedError("locality: it moves ws, which the code of the stage before has none of")
        self.seed, self.pivot = picture.seed, told.ws.detach()
        self.tuned, self.context, self.options = tuned, context, options.locality
        self.every = options.locality.every

    def value(self, step: int) -> Tensor:
        """The penalty of one random code, a number."""
        old, pivot, seed = self.tuned.old, self.pivot, item_seed(self.seed, "locality", step)
        with torch.no_grad():
            way = old.map(normal([seed], (old.z_dim,)).to(pivot), psi=self.options.psi) - pivot
            told = SynthesisInput(ws=pivot + self.options.distance * way / way.norm(), noise="none")
            target = as_rgb(old.synthesize(told))
        there = Batch(targets=target, seeds=[seed])
        return Objective(self.options.objective, there, self.context)(self.tuned.new.synthesize(told))[0]


class _Game:
    """A discriminator that plays against the tuned generator, around the photograph and everywhere."""

    def __init__(self, picture: _Picture, tuned: _Tuned, context: Context, options: TuneOptions) -> None:
        assert options.adversarial is not None
        self.picture, self.tuned, self.options = picture, tuned, options.adversarial
        channels, seed = context.generator.image_channels, item_seed(picture.seed, "discriminator")
        if context.discriminator is not None:
            self.judge: Discriminator = copy.deepcopy(context.discriminator)
            if self.judge.image_channels != channels:
                raise UnsupportedError(
                    f"the checkpoint's discriminator looks at {self.judge.image_channels} channels, its generator "
                    f"draws {channels}"
                )
        else:
            size = min(self.options.resolution, context.generator.resolution)
            # Layer widths fall with the resolution as they do in StyleGAN2, whose widest has 512.
            widths = {"channels_base": 32 * self.options.channels, "channels_max": self.options.channels}
            self.judge = fresh(size, **widths, image_channels=channels, seed=seed)
        self.judge.to(context.device).requires_grad_(True)
        self.adam = torch.optim.Adam(self.judge.parameters(), lr=self.options.lr, betas=(0.0, 0.99))
        self.photo = picture.targets[:, :channels]
        self.ours: Tensor | None = None
        self.theirs: tuple[Tensor, Tensor] | None = None

    def local(self, image: Tensor) -> Tensor:
        """What the picture of the code costs the generator."""
        self.ours = image.detach()
        return self.options.local * self._frozen(image).mean()

    def everywhere(self, step: int) -> Tensor | float:
        """What pictures of random codes cost it."""
        self.theirs = None
        if step % self.options.every:
            return 0.0
        old, new = self.tuned.old, self.tuned.new
        seeds = [item_seed(self.picture.seed, "everywhere", step, i) for i in range(self.options.samples)]
        with torch.no_grad():
            ws = old.map(normal(seeds, (old.z_dim,)).to(old.w_avg))
            other = [item_seed(seed, "real") for seed in seeds]  # the game is about distributions, not about pairs
            real = old.synthesize(ws=old.map(normal(other, (old.z_dim,)).to(old.w_avg)))
        fake = new.synthesize(ws=ws)
        self.theirs = real, fake.detach()
        return self.options.everywhere * self._frozen(fake).mean()

    def learn(self, step: int, acts: bool) -> None:
        """One step of the discriminator, on the pictures that the generator's step has drawn."""
        pairs = [(self.photo, self.ours)] if acts and self.ours is not None else []
        pairs += [self.theirs] if self.theirs is not None else []
        if not pairs:
            return
        loss = torch.zeros((), device=self.photo.device)
        for real, fake in pairs:
            loss = loss + logistic_discriminator(self._judged(real), self._judged(fake)).mean()
            if self.options.r1 and step % self.options.r1_every == 0:
                penalty = r1_penalty(self.judge, area_resize(real, self.judge.resolution)).mean()
                loss = loss + self.options.r1 / 2 * self.options.r1_every * penalty
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        self.ours = None

    def _frozen(self, images: Tensor) -> Tensor:
        self.judge.requires_grad_(False)
        value = logistic_generator(self._judged(images))
        self.judge.requires_grad_(True)
        return value

    def _judged(self, images: Tensor) -> Tensor:
        return self.judge(area_resize(images, self.judge.resolution))

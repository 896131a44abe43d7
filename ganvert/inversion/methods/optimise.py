"""Inversion by gradient descent on a code: every optimisation method is a preset of this one loop.

StyleGAN2's projector (Karras et al. 2020, arXiv 1912.04958, appendix D), Image2StyleGAN (Abdal et al. 2019) and F/Z+
with its ablations (arXiv 2307.08995, called the F/Z+ paper below) differ only in space, start, objective and schedule.

:func:`optimise` is the queue of images, :func:`_step` the loop's body, :func:`_objective` what is minimised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ganvert.compute.random import normal
from ganvert.compute.side_by_side import SideBySide
from ganvert.generators.base import SynthesisInput
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, fingerprint_of, join
from ganvert.inversion.methods.image_state import ImageState
from ganvert.inversion.methods.optimise_options import OptimiseOptions
from ganvert.inversion.objective import Objective
from ganvert.inversion.penalties import PENALTIES, Penalised
from ganvert.inversion.preview import Fitted, Preview
from ganvert.inversion.schedule import scheduled_rate
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.spaces import Space, Variables, make_space

__all__ = ["optimise"]


def optimise(batch: Batch, context: Context, options: OptimiseOptions, on_step: OnStep | None = None) -> Inversion:
    """Invert a batch of images that do not influence each other.

    At most ``context.side_by_side`` of them are in work at once. One that is done makes room for the next, whose target
    is prepared only then; where memory runs out, half of them wait.

    Args:
        batch: the images, and the result of an earlier stage.
        context: generator and what the options need beside it.
        options: the preset.
        on_step: called with the objectives of the images in work after every step they take.

    Returns:
        Codes, trace, and status per image. An image whose objective stops being finite keeps its best code and is
        ``diverged``; the others are untouched.

    Raises:
        UnsupportedError: the options need an encoder that the context lacks, or a feature the generator lacks; or
            there is no memory for a single image.
        ParamsError: the options resume an earlier stage, and there is none.
    """
    options.check(context.generator)
    task = _Task(context, options)
    inversions: dict[int, Inversion] = {}
    queue = SideBySide(
        len(batch),
        begin=lambda i: ImageState(i, batch.select(i).to(context.device), task.space, context, options),
        park=task.forget,
        device=context.device,
        limit=1 if options.optimiser == "lbfgs" else context.side_by_side,  # its line search would couple the images
        fitting=context.engine.fitting,
        kind=task.key,
    )

    def take_steps() -> Tensor:
        """Take one step with every image in work; return their objectives."""
        if not task.settled:
            task.settle(queue)  # on the first images: how fast to compute, and how many fit
        objectives = []
        for states in task.groups(queue.in_work):
            objectives.append(_step(task, states))
            for state in states:
                if state.done:
                    inversions[state.index] = state.result()
                    queue.leave(state)
        return torch.cat(objectives)

    while queue.busy:
        objectives = queue.attempt(take_steps)  # None: there was no memory for them; fewer will try again
        if objectives is not None and on_step is not None:
            # An image that converged early counts as if it had taken all its steps.
            steps = options.steps * len(inversions) + sum(state.step for state in queue.begun)
            on_step(steps / len(batch), options.steps, objectives)
        if context.watch is not None:
            for state in [*queue.in_work]:
                if context.watch(state.result):
                    inversions[state.index] = state.result()
                    queue.leave(state)
    return join([inversions[i] for i in range(len(batch))])


def _step(task: _Task, states: list[ImageState]) -> Tensor:
    """Take one step with images that all use the preview, or all the full image; return their objectives [N].

    F/Z+ paper, section 3.3: descend along the gradient of equation 4, then retract (equation 5).
    """
    options = task.options
    recorded: list[Tensor] = []
    task.fit_preview(states)  # every few of the first steps; afterwards this does nothing

    def evaluate() -> Tensor:
        objectives = _descend(task, states)
        if task.engine.now.precision != "float32" and not _finite(states, objectives):
            task.engine.fall_back("an objective or its gradient is not finite")
            task.prepare_anew(states)
            objectives = _descend(task, states)
        values = objectives.detach().cpu()
        if not recorded:  # L-BFGS evaluates trial steps too; only the code that the step began with counts
            recorded.append(values)
            for state, value in zip(states, values.tolist(), strict=True):
                state.record(value)  # trace and best code
        return values.sum()

    with task.engine.running():
        if isinstance(states[0].optimiser, torch.optim.LBFGS):
            states[0].optimiser.step(evaluate)
        else:
            evaluate()
    for state in states:
        if isinstance(state.optimiser, torch.optim.Adam) and state.alive:
            for group in state.optimiser.param_groups:
                group["lr"] = group["rate"] * scheduled_rate(state.step, options)
            state.optimiser.step()  # L-BFGS has taken its step above
        if options.code == "optimise":
            # Equation 5: z_i <- sqrt(512) z_i / |z_i|. The image stays the same, since the mapping network normalises
            # its input. Without it |z| would grow step by step and the gradient shrink in proportion, while the steps
            # of Adam keep their length. In spaces without a manifold this does nothing.
            task.space.retract_(state.variables)
        if options.noise == "optimise" and options.noise_normalise:
            normalise_noise_(state.noise)
        state.advance()
    return recorded[0]


def _objective(task: _Task, states: Sequence[ImageState], image_losses: Objective, previewed: bool) -> Tensor:
    """Return the objectives [N] of the present codes: equation 4 of the F/Z+ paper, and other papers' penalties."""
    options = task.options
    synthesis_input = task.decode(states)
    if previewed:
        images = task.draw_preview(synthesis_input, states)
    else:
        images = task.engine.synthesize(synthesis_input, px=max(image_losses.px, task.encoder_px))
    with task.engine.autocast():
        value = image_losses(images)  # equation 1
    if options.regularise:
        variables = _joint_code([state.variables for state in states])
        start = _joint_code([state.start for state in states])
        code = Penalised(task.space, variables, start, synthesis_input, images, task.context)
        for name, weight in options.regularise.items():
            value = value + weight * PENALTIES[name](code)  # `base` is equation 3
    if options.noise_weight:
        assert not isinstance(synthesis_input.noise, str)
        value = value + options.noise_weight * noise_penalty(synthesis_input.noise)
    return value


def _descend(task: _Task, states: Sequence[ImageState]) -> Tensor:
    """Return the objectives [N] of the present codes, and write the gradient of every image whose own is finite."""
    objectives = _objective(task, states, task.targets(states), states[0].previewed)
    _backward(states, objectives)
    return objectives


def _finite(states: Sequence[ImageState], objectives: Tensor) -> bool:
    """Return whether all objectives and their gradients are finite."""
    gradients = (leaf.grad for state in states for leaf in state.leaves if leaf.grad is not None)
    return bool(objectives.isfinite().all()) and all(bool(gradient.isfinite().all()) for gradient in gradients)


def _backward(states: Sequence[ImageState], objectives: Tensor) -> None:
    """Write the gradient of every image that is alive; a diverged one is left out as a whole."""
    leaves = [leaf for state in states for leaf in state.leaves]
    for leaf in leaves:
        leaf.grad = None
    # Images are independent, so that the gradient of the sum is each image's own. A mean would make Adam's epsilon
    # and the line search depend on the batch size.
    alive = objectives.detach().isfinite()
    torch.where(alive, objectives, torch.zeros_like(objectives)).sum().backward()
    dead = [state for state, lives in zip(states, alive.tolist(), strict=True) if not lives]
    for leaf in (leaf for state in dead for leaf in state.leaves):
        if leaf.grad is not None:  # 0 * inf is nan, so that the mask alone would not do
            leaf.grad.zero_()


class _Task:
    """What all images of a run share: the space, what draws, and the joint targets of those in work.

    Attributes:
        key: names the options, for what is measured once.
        encoder_px: input resolution of a penalty's encoder [px], or 0.
        spread: unit of latent noise.
        settled: whether speed and room were measured.
    """

    def __init__(self, context: Context, options: OptimiseOptions) -> None:
        self.context, self.options = context, options
        self.engine, self.key = context.engine, fingerprint_of(options)
        self.space = make_space(options.space, context.generator)
        self.preview = Preview(context.generator, options.preview_px, self.engine) if options.preview_steps else None
        self.encoder_px = context.require_encoder().input_px if options.encodes else 0
        self.spread = _spread(self.space, options)
        self.settled = False
        self._joint: dict[bool, tuple[list[ImageState], Objective]] = {}

    def groups(self, in_work: Sequence[ImageState]) -> Iterator[list[ImageState]]:
        """Split images into those whose next step uses the preview and those that use the full image."""
        groups = {previewed: [s for s in in_work if s.previewed is previewed] for previewed in (True, False)}
        self._joint = {previewed: joint for previewed, joint in self._joint.items() if groups[previewed]}
        return (states for states in groups.values() if states)

    def targets(self, states: Sequence[ImageState]) -> Objective:
        """Return the image losses with the targets of all these images, joined anew only when one came or went.

        Targets are prepared when an image enters, and again at full resolution when it leaves the preview.
        """
        previewed = states[0].previewed
        if previewed not in self._joint or self._joint[previewed][0] != states:
            self._joint.pop(previewed, None)  # frees the old ones before the new ones are made
            prepared = [state.objective or self._prepare(state) for state in states]
            self._joint[previewed] = list(states), Objective.join(prepared)
        return self._joint[previewed][1]

    def _prepare(self, state: ImageState) -> Objective:
        limit = self.options.preview_px if state.previewed else None
        with self.engine.autocast():
            state.objective = Objective(self.options.objective, state.batch, self.context, limit)
        return state.objective

    def forget(self, state: ImageState) -> None:
        """Free the targets of an image that has to wait; they are prepared anew when it resumes."""
        state.objective = None
        self._joint.clear()

    def decode(self, states: Sequence[ImageState]) -> SynthesisInput:
        """Return what the generator draws for the present codes, latent noise included."""
        synthesis_input = self.space.decode(_joint_code([state.jittered(self.spread) for state in states]))
        noise = [_cat(maps) for maps in zip(*(state.noise for state in states), strict=True)]
        return dataclasses.replace(
            synthesis_input, noise=noise or ("none" if self.options.noise == "none" else "const")
        )

    def prepare_anew(self, states: Sequence[ImageState]) -> None:
        """Prepare targets and previews again, after the precision has changed."""
        for state in states:
            self.forget(state)
        self.fit_preview(states, every=1)

    @torch.no_grad()
    def fit_preview(self, states: Sequence[ImageState], every: int | None = None) -> None:
        """Fit the preview of images whose next step uses it and is one of `every`, by default `preview_every`."""
        due = [s for s in states if s.previewed and s.step % (every or self.options.preview_every) == 0]
        if self.preview is not None and due:
            for state, fitted in zip(due, self.preview.fit(self.decode(due)), strict=True):
                state.fitted = fitted

    def draw_preview(self, synthesis_input: SynthesisInput, states: Sequence[ImageState]) -> Tensor:
        """Draw the stand-ins [N, 3, preview_px, preview_px] of the images."""
        assert self.preview is not None
        return self.preview.draw(synthesis_input, Fitted.join([s.fitted for s in states if s.fitted]))

    def settle(self, queue: SideBySide[ImageState]) -> None:
        """Measure on the first images how fast to compute, and how many fit side by side."""
        self.engine.settle(self.key, lambda: self._probe(queue.in_work))
        queue.fit(self._probe)
        self.settled = True

    def _probe(self, states: Sequence[ImageState]) -> tuple[Tensor, Tensor]:
        """Return the objective [N] of the present codes and its gradient [N, numbers], with the full image."""
        with self.engine.autocast():
            prepared = [Objective(self.options.objective, state.batch, self.context) for state in states]
        with self.engine.running():
            value = _objective(self, states, Objective.join(prepared), previewed=False)
            leaves = [leaf for state in states for leaf in state.leaves]
            gradients = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
        by_image = zip(*[iter(gradients)] * len(states[0].leaves), strict=True)  # as many in a row as an image has
        return value.detach(), torch.stack([torch.cat([part.flatten() for part in parts]) for parts in by_image])


def _cat(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _joint_code(codes: Sequence[Variables]) -> Variables:
    """Return codes of single images as one of all, name to [N, *shape]."""
    return {name: _cat([code[name] for code in codes]) for name in codes[0]}


def _spread(space: Space, options: OptimiseOptions) -> float:
    """Return what the strength of latent noise is relative to: the spread of w, or 1 for codes on spheres."""
    if not options.latent_noise or space.direction_space != "w":
        return 1.0
    generator = space.generator
    # Fixed seeds: the unit of the noise is a property of the generator, not of a run.
    z = normal(range(10_000), (generator.z_dim,)).to(generator.w_avg)
    with torch.no_grad():
        # The projector's definition: one number, the RMS distance of 10,000 codes from the mean code.
        squares = [(generator.map_to_w(part) - generator.w_avg).square().sum(-1) for part in z.split(1000)]
    return float(torch.cat(squares).mean().sqrt())

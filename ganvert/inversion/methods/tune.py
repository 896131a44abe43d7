"""Inversion by tuning the generator around a code that stays where it is, the pivot.

Pivotal tuning (PTI, Roich et al. 2021, arXiv 2106.05744) and near-perfect GAN inversion (Feng et al. 2022, arXiv
2202.11833) are presets of this one loop; the pivot is the code of the stage before, of any space.

:func:`_tune` is the loop, :func:`_step` its body.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import torch

from ganvert.base.errors import ParamsError
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, join, part_of
from ganvert.inversion.methods.adversarial import AdversarialLoss
from ganvert.inversion.methods.locality import LocalityLoss
from ganvert.inversion.methods.pivot import Pivot, TunedCopy, descend
from ganvert.inversion.methods.tune_options import TuneOptions
from ganvert.inversion.schedule import scheduled_rate

__all__ = ["tune"]

#: How a step ended: the tuning continues, the image is near enough to stop, or its objective is not finite.
Ending = Literal["running", "near enough", "diverged"]


def tune(batch: Batch, context: Context, options: TuneOptions, on_step: OnStep | None = None) -> Inversion:
    """Tune a generator for every photograph (or one for all) around the codes of ``batch.start``.

    Args:
        batch: the photographs, and the stage that found their codes.
        context: the generator as it is, and the discriminator of its checkpoint if there is one.
        options: the preset.
        on_step: called with the objectives after every step.

    Returns:
        The codes of the start with ``weights``: what is added to the generator's parameters.

    Raises:
        ParamsError: there is no earlier stage, or it has tuned the generator already.
        UnsupportedError: locality is asked for around a code that has no ws.
    """
    start = batch.require_start()
    if start.weights:
        raise ParamsError("tune: the stage before has tuned the generator already")
    if options.noise == "const":
        batch = dataclasses.replace(batch, start=dataclasses.replace(start, noise=[]))
    if options.together:
        # Photographs take turns in the order of their seeds, so that the order of the batch does not matter.
        order = sorted(range(len(batch)), key=lambda i: batch.seeds[i])
        tuned = _tune([batch.select(i) for i in order], context, options, on_step)
        return join([tuned[order.index(i)] for i in range(len(batch))])
    reports = [part_of(on_step, i, 1, len(batch)) for i in range(len(batch))]
    return join([_tune([batch.select(i)], context, options, report)[0] for i, report in enumerate(reports)])


def _tune(parts: Sequence[Batch], context: Context, options: TuneOptions, on_step: OnStep | None) -> list[Inversion]:
    """Tune one generator for all of `parts`, batches of one photograph each."""
    tuned = TunedCopy(context.generator, options)
    photographs = [_Losses(part, tuned, context, options) for part in parts]
    trace = torch.full((len(parts), options.steps), math.nan)
    ending: Ending = "running"
    for step in range(options.steps):
        for i, losses in enumerate(photographs):  # in turn: each has a step of its own, as in PTI's multi-ID variant
            trace[i, step], ending = _step(losses, tuned, step, options, alone=len(parts) == 1)
            if ending != "running":
                break
        if ending != "running":
            break
        if len(parts) > 1:
            # An approximation: the weights moved between the turns, and each photograph saw those of its own.
            tuned.record(step, float(trace[:, step].nansum()))
        if on_step is not None:
            on_step(step + 1, options.steps, trace[:, step])
    reason = ""
    if ending == "diverged":
        reason = "the objective stopped being finite; the best weights before that are kept"
    elif not all(value.isfinite().all() for value in _learned(tuned, photographs)):
        reason = "the weights stopped being finite"
    keep = "best" if reason else options.keep
    weights = tuned.differences(keep)
    inversions = []
    for i, (part, losses) in enumerate(zip(parts, photographs, strict=True)):
        start = part.require_start()
        inversions.append(
            dataclasses.replace(
                start,
                variables={**start.variables, **losses.pivot.learned(keep)},
                trace=trace[i : i + 1],
                best_step=torch.tensor([tuned.best_step]),
                status=["diverged"] if reason else list(start.status),
                reason=[reason] if reason else list(start.reason),
                weights=[weights],
            )
        )
    return inversions


def _learned(tuned: TunedCopy, photographs: Sequence[_Losses]) -> list[torch.Tensor]:
    """Return all that has learned, as it is after the last step."""
    return [*tuned.parameters.values(), *(d for one in photographs for d in one.pivot.learned("last").values())]


def _optimisers(
    losses: _Losses, tuned: TunedCopy, step: int, options: TuneOptions
) -> list[tuple[torch.optim.Adam, float]]:
    """Return what learns in a step, each with its rate."""
    rate, differences = scheduled_rate(step, options), options.differences
    if differences is None or losses.pivot.adam is None:
        return [(tuned.adam, rate)]
    weights = [(tuned.adam, rate)] if step < differences.weight_steps else []
    return [*weights, (losses.pivot.adam, rate / options.lr * differences.lr)]


class _Losses:
    """The losses of one photograph: the objective at its pivot, and around it where the options ask for more."""

    def __init__(self, part: Batch, tuned: TunedCopy, context: Context, options: TuneOptions) -> None:
        self.pivot = Pivot(part, tuned, context, options)
        self.locality = LocalityLoss(self.pivot, tuned, context, options.locality) if options.locality else None
        self.adversarial = (
            AdversarialLoss(self.pivot, tuned, context, options.adversarial) if options.adversarial else None
        )


def _step(losses: _Losses, tuned: TunedCopy, step: int, options: TuneOptions, *, alone: bool) -> tuple[float, Ending]:
    """Take one step of the generator, and of the discriminator if there is one, for one photograph.

    PTI minimises ``L(x, G(w_p)) + locality``; near-perfect inversion ``1_p [L_recon + L_adv_local] + L_global``.

    Returns:
        The objective, nan in steps where it does not act (1_p is 0), and how the step ended. Unless "running", the
        weights are those that the step began with.
    """
    pivot, adversarial = losses.pivot, losses.adversarial
    if options.differences and step == options.differences.weight_steps:
        tuned.freeze()
    loss, value = torch.zeros((), device=pivot.targets.device), math.nan
    acts = next(pivot.gate)
    if acts:
        image = tuned.new.synthesize(pivot.synthesis_input())
        loss = pivot.objective(image)[0]
        value = float(loss.detach())
        if not math.isfinite(value):
            return value, "diverged"
        # Of several photographs, no weights belong to all objectives of a step: the loop records them.
        if alone and tuned.record(step, value):
            pivot.record()
        # Before the step: weights that are good enough already are left alone.
        if pivot.near_enough(image):
            return value, "near enough"
        if adversarial:
            loss = loss + adversarial.local(image)
    if losses.locality:
        loss = loss + losses.locality(step)
    if adversarial:
        loss = loss + adversarial.everywhere(step)
    if loss.requires_grad:  # in a step where nothing acts there is nothing to learn
        descend(loss, _optimisers(losses, tuned, step, options))
        if adversarial:
            adversarial.learn(step, acts)
    return value, "running"

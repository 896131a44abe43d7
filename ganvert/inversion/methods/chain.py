"""Inversion in stages: each starts from the code, the noise maps and the tuned weights of the one before."""

from __future__ import annotations

import dataclasses

import torch

from ganvert.base.errors import ParamsError
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, join, part_of
from ganvert.inversion.inverter import Preset
from ganvert.inversion.methods.tune_options import TuneOptions
from ganvert.inversion.objective import Term

__all__ = ["ChainOptions", "chain"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """Options of a preset with ``inverter: chain``.

    Attributes:
        stages: presets of their own, in order; all but the first may have ``init: previous``.
    """

    stages: tuple[Preset, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ParamsError("stages: wanted at least one")
        stages = [inner for stage in self.stages for inner in stage.stages]
        if any(isinstance(stage.options, TuneOptions) for stage in stages[:-1]):
            # Codes belong to one generator: what is found behind would be of the untuned one.
            raise ParamsError("stages: tuning comes last; put no stage behind it")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def space(self) -> str:
        """Name of the space of its codes: that of the last stage which finds any (tuning leaves codes as they are)."""
        spaces = [stage.options.space for stage in self.stages if hasattr(stage.options, "space")]
        if not spaces:
            raise ParamsError("stages: wanted one that finds codes before the generator is tuned to them")
        return str(spaces[-1])

    @property
    def needs_discriminator(self) -> bool:
        """Whether any stage does."""
        return any(stage.needs_discriminator for stage in self.stages)

    @property
    def together(self) -> bool:
        """Whether a stage needs all photographs of a run at once."""
        return any(stage.together for stage in self.stages)

    @property
    def needs_encoder(self) -> bool:
        """Whether any stage does."""
        return any(stage.needs_encoder for stage in self.stages)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Terms of the stages' objectives."""
        return tuple(term for stage in self.stages for term in stage.options.terms)

    def check(self, generator: Generator) -> None:
        """Raise UnsupportedError where the generator lacks what a stage uses."""
        for stage in self.stages:
            stage.check(generator)


def chain(batch: Batch, context: Context, options: ChainOptions, on_step: OnStep | None = None) -> Inversion:
    """Run the stages; see :func:`ganvert.inversion.methods.optimise.optimise` for the arguments.

    The trace is that of all stages in a row; their objectives differ. An image that diverges in a stage enters the next
    one with the best code it had, and stays ``diverged``.
    """
    inversion, traces, done = batch.start, [], 0
    lost: dict[int, str] = {}  # reason of every image that diverged, of the first stage in which it did
    for stage in options.stages:
        report = part_of(on_step, done, stage.steps, options.steps)
        start = dataclasses.replace(batch, start=inversion)
        if options.together and not stage.together:
            # The batch is the whole run, because one stage tunes one generator for all of it. The other stages take
            # its photographs one by one: so many would not fit into memory side by side.
            images = range(len(start))
            reports = [part_of(report, i, 1, len(start)) for i in images]
            inversion = join([stage.inverter.run(start.select(i), context, stage.options, reports[i]) for i in images])
        else:
            inversion = stage.inverter.run(start, context, stage.options, report)
        # The right side of | wins: an image keeps the reason of the first stage that lost it.
        lost = {i: inversion.reason[i] for i, status in enumerate(inversion.status) if status != "ok"} | lost
        traces.append(inversion.trace)
        done += stage.steps
    assert inversion is not None
    traced = sum(trace.shape[1] for trace in traces[:-1])
    return dataclasses.replace(
        inversion,
        trace=torch.cat(traces, dim=1),
        best_step=inversion.best_step + traced,  # counted along the whole trace
        status=["diverged" if i in lost else "ok" for i in range(len(batch))],
        reason=[lost.get(i, "") for i in range(len(batch))],
    )

"""Inversion in stages: each goes on from the code, the noise maps and the tuned weights that the one before found."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from ganvert.base.errors import ParamsError
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, join, part_of

__all__ = ["ChainOptions", "chain"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """params.yaml: invert.options.NAME with ``inverter: chain``.

    Attributes:
        stages: presets of their own, in order; all but the first may say ``init: previous``.
    """

    stages: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ParamsError("stages: wanted at least one")
        self.presets()

    def presets(self) -> list[Any]:
        """The stages as :class:`ganvert.inversion.presets.Preset`."""
        from ganvert.inversion.presets import read_preset  # the registry holds this module too

        return [read_preset(f"stages[{i}]", raw) for i, raw in enumerate(self.stages)]

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(preset.steps for preset in self.presets())

    @property
    def space(self) -> str:
        """The space of its codes: that of the last stage which finds any (tuning leaves codes where they are)."""
        spaces = [preset.options.space for preset in self.presets() if hasattr(preset.options, "space")]
        if not spaces:
            raise ParamsError("stages: wanted one that finds codes before the generator is tuned to them")
        return str(spaces[-1])

    @property
    def needs_discriminator(self) -> bool:
        """Whether any stage does."""
        return any(preset.needs_discriminator for preset in self.presets())

    @property
    def together(self) -> bool:
        """Whether a stage wants all photographs of a run at once."""
        return any(preset.together for preset in self.presets())

    @property
    def needs_encoder(self) -> bool:
        """Whether any stage does."""
        return any(preset.needs_encoder for preset in self.presets())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Masks and pictures that the stages name, each once."""
        return tuple(dict.fromkeys(name for preset in self.presets() for name in preset.inputs))

    def check(self, generator: Generator) -> None:
        """UnsupportedError where the generator lacks what a stage uses."""
        for preset in self.presets():
            preset.check(generator)


def chain(batch: Batch, context: Context, options: ChainOptions, on_step: OnStep | None = None) -> Inversion:
    """Run the stages; see :func:`ganvert.inversion.methods.optimise.optimise` for the arguments.

    The trace is that of all stages in a row; their objectives differ. An image that diverges in a stage goes on from
    the best code it had, and stays ``diverged``.
    """
    found, before, done = batch.start, [], 0
    lost: dict[int, str] = {}
    presets, total, together = options.presets(), options.steps, options.together  # each reads the stages anew
    for preset in presets:
        ticks = part_of(on_step, done, preset.steps, total)
        told = dataclasses.replace(batch, start=found)
        if together and not preset.together:  # as many photographs as there are would not fit side by side
            parts = [told.select(i) for i in range(len(told))]
            each = [part_of(ticks, i, 1, len(parts)) for i in range(len(parts))]
            runs = zip(parts, each, strict=True)
            found = join([preset.inverter.run(part, context, preset.options, tick) for part, tick in runs])
        else:
            found = preset.inverter.run(told, context, preset.options, ticks)
        lost = {i: found.reason[i] for i, status in enumerate(found.status) if status != "ok"} | lost
        before.append(found.trace)
        done += preset.steps
    assert found is not None
    traced = sum(part.shape[1] for part in before[:-1])
    return dataclasses.replace(
        found,
        trace=torch.cat(before, dim=1),
        best_step=found.best_step + traced,
        status=["diverged" if i in lost else "ok" for i in range(len(batch))],
        reason=[lost.get(i, "") for i in range(len(batch))],
    )

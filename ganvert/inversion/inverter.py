"""What a method is: an inverter, and a preset, which is an inverter with its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ganvert.base.errors import ParamsError
from ganvert.base.provenance import PLUMBING, closure
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Inversion, fingerprint_of
from ganvert.inversion.objective import inputs_of
from ganvert.losses import LOSSES

__all__ = ["Inverter", "Preset"]


@dataclasses.dataclass(frozen=True)
class Inverter:
    """A way to invert photographs.

    Attributes:
        run: ``run(batch, context, options, on_step)``; see :func:`ganvert.inversion.methods.optimise.optimise`.
        options: the dataclass of its options.
        check: raises UnsupportedError where a generator lacks what the options use.
    """

    run: Callable[..., Inversion]
    options: type
    check: Callable[[Any, Generator], None] = lambda options, generator: None


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named method: an inverter with its options.

    Attributes:
        name: the method's name.
        inverter: what runs.
        options: its options, an instance of ``inverter.options``.
        raw: the resolved mapping that the options were read from.
    """

    name: str
    inverter: Inverter
    options: Any
    raw: Mapping[str, Any]

    @property
    def stages(self) -> tuple[Preset, ...]:
        """The presets that run one after the other: those of a chain, also where a stage is one; else the preset."""
        stages: tuple[Preset, ...] = getattr(self.options, "stages", ())
        return tuple(inner for stage in stages for inner in stage.stages) or (self,)

    @property
    def settings(self) -> dict[str, Any]:
        """All options as JSON values, defaults included; each stage of a chain also names its inverter."""
        if not hasattr(self.options, "stages"):
            return dataclasses.asdict(self.options)
        return {"stages": [{"inverter": stage.raw["inverter"], **stage.settings} for stage in self.options.stages]}

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the options."""
        return fingerprint_of(self.settings)

    @property
    def space(self) -> str:
        """Name of the space of its codes; ParamsError for a stage that finds no code by itself."""
        if not hasattr(self.options, "space"):
            raise ParamsError(
                f"method {self.name!r}: starts from codes and finds none; put it behind another one (inverter: chain)"
            )
        return str(self.options.space)

    @property
    def needs_encoder(self) -> bool:
        """Whether it asks for an encoder."""
        return bool(self.options.needs_encoder)

    @property
    def together(self) -> bool:
        """Whether it needs all photographs of a run in one batch."""
        return bool(getattr(self.options, "together", False))

    @property
    def needs_discriminator(self) -> bool:
        """Whether it plays against a discriminator: the checkpoint's, if it has one."""
        return bool(getattr(self.options, "needs_discriminator", False))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Masks and pictures that its objectives name, inside the folder of inputs."""
        return inputs_of(self.options.terms)

    @property
    def needs_faces(self) -> bool:
        """Whether it runs code of ``ganvert.faces``.

        That reads masks and pictures and finds the segments of ``assign``; encoders look through its networks, and a
        loss may.
        """
        if self.inputs or self.needs_encoder or any(getattr(stage.options, "parses", False) for stage in self.stages):
            return True
        modules = {LOSSES[term.loss].__module__ for term in self.options.terms}
        ours = [module for module in modules if module.startswith("ganvert.")]  # a user may register others
        # Without the file that imports every loss.
        files = closure(*ours, without=(*PLUMBING, "ganvert.losses.__init__"))
        return any(file.startswith("ganvert/faces/") for file in files)

    @property
    def steps(self) -> int:
        """How often it reports progress for one image."""
        return int(self.options.steps)

    def check(self, generator: Generator) -> None:
        """Raise UnsupportedError where the generator lacks what this method uses."""
        self.inverter.check(self.options, generator)

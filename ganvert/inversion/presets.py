"""Inverters by name, and how a preset of params.yaml becomes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, fingerprint_of, join
from ganvert.inversion.methods.chain import ChainOptions, chain
from ganvert.inversion.methods.feed_forward import FeedForwardOptions, feed_forward
from ganvert.inversion.methods.optimise import optimise
from ganvert.inversion.methods.optimise_options import OptimiseOptions
from ganvert.inversion.methods.tune import tune
from ganvert.inversion.methods.tune_options import TuneOptions

__all__ = [
    "INVERTERS",
    "Batch",
    "Context",
    "Inversion",
    "Inverter",
    "OnStep",
    "Preset",
    "fingerprint_of",
    "join",
    "read_preset",
]


@dataclasses.dataclass(frozen=True)
class Inverter:
    """A function, the dataclass of its options, and a check of options against a generator (typed errors)."""

    run: Callable[..., Inversion]
    options: type
    check: Callable[[Any, Generator], None] = lambda options, generator: None


INVERTERS: dict[str, Inverter] = {
    "optimise": Inverter(optimise, OptimiseOptions, OptimiseOptions.check),
    "chain": Inverter(chain, ChainOptions, ChainOptions.check),
    "tune": Inverter(tune, TuneOptions, TuneOptions.check),
    "feed_forward": Inverter(feed_forward, FeedForwardOptions, FeedForwardOptions.check),
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named method: an inverter with its options."""

    name: str
    inverter: Inverter
    options: Any
    raw: Mapping[str, Any]  # as params.yaml has it

    @property
    def space(self) -> str:
        """The space of its codes; ParamsError for a stage that finds none by itself."""
        if not hasattr(self.options, "space"):
            raise ParamsError(
                f"invert.options.{self.name}: goes on from codes; put it behind another (inverter: chain)"
            )
        return str(self.options.space)

    @property
    def needs_encoder(self) -> bool:
        """Whether it asks for an encoder."""
        return bool(self.options.needs_encoder)

    @property
    def together(self) -> bool:
        """Whether it wants all photographs of a run in one batch."""
        return bool(getattr(self.options, "together", False))

    @property
    def needs_discriminator(self) -> bool:
        """Whether it plays against a discriminator: the checkpoint's, if it has one."""
        return bool(getattr(self.options, "needs_discriminator", False))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Masks and pictures that its objectives name, inside the folder of inputs."""
        return tuple(self.options.inputs)

    @property
    def steps(self) -> int:
        """How often it reports progress for one image."""
        return int(self.options.steps)

    def check(self, generator: Generator) -> None:
        """UnsupportedError where the generator lacks what this method uses."""
        self.inverter.check(self.options, generator)


def read_preset(name: str, raw: Mapping[str, Any]) -> Preset:
    """A preset from its parsed YAML (``{inverter: optimise, space: wplus, ...}``)."""
    path = f"invert.options.{name}"
    if not isinstance(raw, Mapping) or "inverter" not in raw:
        raise ParamsError(f"{path}: wanted a mapping with the key 'inverter' ({', '.join(INVERTERS)}), got {raw!r}")
    inverter = lookup(INVERTERS, raw["inverter"], "inverter")
    rest = {key: value for key, value in raw.items() if key != "inverter"}
    return Preset(name, inverter, params.build(inverter.options, rest, path), raw)

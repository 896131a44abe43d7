"""Inverters by name, and how a preset's mapping becomes one with its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.base.preset_files import METHODS, ResolvedPreset
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, fingerprint_of, join
from ganvert.inversion.inverter import Inverter, Preset
from ganvert.inversion.methods.assign import AssignOptions, assign
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
    "read_resolved",
]

INVERTERS: dict[str, Inverter] = {
    "optimise": Inverter(optimise, OptimiseOptions, OptimiseOptions.check),
    "chain": Inverter(chain, ChainOptions, ChainOptions.check),
    "tune": Inverter(tune, TuneOptions, TuneOptions.check),
    "assign": Inverter(assign, AssignOptions, AssignOptions.check),
    "feed_forward": Inverter(feed_forward, FeedForwardOptions, FeedForwardOptions.check),
}


def read_preset(name: str, raw: Mapping[str, Any], where: str = "") -> Preset:
    """Read a preset from its parsed YAML.

    Args:
        name: the method's name.
        raw: its options with ``inverter`` (``{inverter: optimise, space: wplus, ...}``), parents merged in.
        where: where it stands, for messages; ``invert.options.NAME`` if not given.

    Raises:
        ParamsError, UnknownNameError: an option is unknown, missing or of the wrong type or range.
    """
    where = where or f"{METHODS.section}.{name}"
    if not isinstance(raw, Mapping) or "inverter" not in raw:
        raise ParamsError(
            f"{where}: wanted a mapping with the key 'inverter' ({', '.join(INVERTERS)}), got {brief(raw)}"
        )
    inverter = lookup(INVERTERS, raw["inverter"], f"inverter in {where}")
    options = {key: value for key, value in raw.items() if key != "inverter"}
    if inverter.options is ChainOptions and isinstance(raw.get("stages"), list | tuple):
        options["stages"] = [
            read_preset(f"{name}.stages[{i}]", stage, f"{where}.stages[{i}]") for i, stage in enumerate(raw["stages"])
        ]
    return Preset(name, inverter, params.build(inverter.options, options, where), raw)


def read_resolved(preset: ResolvedPreset) -> Preset:
    """Read the preset of a method from the files that :class:`ganvert.base.preset_files.Presets` resolved."""
    return read_preset(preset.name, preset.options, preset.where)

"""params.yaml as a whole: which dataclass each section is, and a check of all of them before any work.

``python -m stages.settings`` checks; ``python -m stages.settings --apply FILE`` first writes FILE's values into
params.yaml (comments are kept).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvert import params
from ganvert.directions import DIRECTIONS
from ganvert.editing import EditSpec, PasteOptions
from ganvert.encoders.train import TrainOptions
from ganvert.errors import GanvertError, ParamsError
from ganvert.faces import AlignOptions
from ganvert.files import atomic_path
from ganvert.inverters import Preset, read_preset
from ganvert.metrics import check_name
from ganvert.registry import lookup
from ganvert.report import ReportOptions
from ganvert.runtime import resolve_device
from ganvert.samples import SampleOptions

PARAMS = Path("params.yaml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorParams:
    """params.yaml: generator."""

    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchParams:
    """params.yaml: fetch. photos: fetch the sample photographs too."""

    photos: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignParams(AlignOptions):
    """params.yaml: align. photos: files, and folders searched to any depth."""

    photos: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InvertParams:
    """params.yaml: invert.

    methods: which presets run, each with the weights it starts from; seed: of the run; batch: images side by side;
    options: the presets.
    """

    methods: dict[str, str]
    options: dict[str, Any]
    seed: int = 0
    batch: int = 1

    def __post_init__(self) -> None:
        if not self.methods or self.batch < 1:
            raise ParamsError("methods: wanted at least one; batch: wanted 1 or more")

    def preset(self, method: str) -> Preset:
        """The preset of a method that runs."""
        lookup(self.methods, method, "method in invert.methods")
        return read_preset(method, lookup(self.options, method, "preset in invert.options"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscoverParams:
    """params.yaml: discover. methods: names of ``ganvert.directions.DIRECTIONS`` with their options."""

    methods: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.methods:
            raise ParamsError(f"methods: wanted at least one of {', '.join(DIRECTIONS)}")
        self.options()

    def options(self) -> dict[str, Any]:
        """Every finder's options, checked."""
        return {
            name: params.build(lookup(DIRECTIONS, name, "direction finder").options, raw, f"discover.methods.{name}")
            for name, raw in self.methods.items()
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditParams:
    """params.yaml: edit.

    method: whose codes are edited; edits: name to direction and amounts; paste: how faces go back into photographs.
    """

    method: str
    edits: dict[str, EditSpec]
    paste: PasteOptions = dataclasses.field(default_factory=PasteOptions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    """params.yaml: evaluate. metrics: full names, net and resolution included (``ganvert.metrics``)."""

    metrics: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.metrics:
            check_name(name)


SECTIONS: dict[str, type] = {
    "generator": GeneratorParams,
    "fetch": FetchParams,
    "align": AlignParams,
    "sample": SampleOptions,
    "train_encoder": TrainOptions,
    "invert": InvertParams,
    "discover": DiscoverParams,
    "edit": EditParams,
    "evaluate": EvaluateParams,
    "report": ReportOptions,
}


def check(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Every section as its dataclass; ParamsError at the first thing that is wrong anywhere."""
    unknown = set(raw) - set(SECTIONS) - {"device"}
    if unknown:
        raise ParamsError(f"params: unknown sections {sorted(unknown)}; known: device, {', '.join(SECTIONS)}")
    if not isinstance(raw.get("device"), str):
        raise ParamsError(f"params: device: wanted auto, cpu or cuda[:N], got {raw.get('device')!r}")
    told: dict[str, Any] = {
        name: params.build(kind, params.section(raw, name), name) for name, kind in SECTIONS.items()
    }
    invert: InvertParams = told["invert"]
    for method in invert.options:
        read_preset(method, invert.options[method])
    for method in invert.methods:
        invert.preset(method)
    lookup(invert.methods, told["edit"].method, "method in invert.methods (edit.method)")
    return told


def apply(overlay: Path) -> None:
    """Write the overlay's values into params.yaml, keeping its comments."""
    from ruamel.yaml import YAML

    yaml = YAML()
    base = yaml.load(PARAMS)
    _merge(base, params.load(overlay))
    with atomic_path(PARAMS) as temporary, temporary.open("w") as handle:
        yaml.dump(base, handle)


def _merge(base: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def main() -> None:
    """Apply and check."""
    try:
        if sys.argv[1:2] == ["--apply"] and len(sys.argv) == 3:
            apply(Path(sys.argv[2]))
        raw = params.load(PARAMS)
        check(raw)
        resolve_device(raw["device"])
    except GanvertError as error:
        sys.exit(f"params: {error}")


if __name__ == "__main__":
    main()

"""Presets as files: ``presets/NAME.yaml``, one a method or encoder, with ``extends`` resolved.

A preset may also stand inline in params.yaml. Wherever it stands, it is a mapping of options with two keys of its own:

- ``extends``: a parent, or a list of them. Mappings merge key by key, everything else replaces; later parents override
  earlier ones, and the preset overrides them all. The items of a chain's ``stages`` may extend presets in the same way.
- ``description``: one line for listings; not inherited, and no part of the options.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.base.project import in_project
from ganvert.base.registry import lookup
from ganvert.base.texts import brief

__all__ = ["ENCODERS", "METHODS", "PresetKind", "Presets", "ResolvedPreset", "preset_folders"]

_OWN_KEYS = ("extends", "description")


@dataclasses.dataclass(frozen=True)
class PresetKind:
    """A family of presets.

    Attributes:
        noun: what messages call one of them.
        folder: where its files stand inside a folder of presets.
        section: where its inline presets stand in params.yaml.
    """

    noun: str
    folder: str
    section: str


METHODS = PresetKind("method", ".", "invert.options")
ENCODERS = PresetKind("encoder preset", "encoders", "train_encoder.options")


@dataclasses.dataclass(frozen=True)
class ResolvedPreset:
    """A preset with its parents merged in.

    Attributes:
        name: its name.
        options: its options, without ``extends`` and ``description``.
        description: one line; empty if it has none.
        sources: where the options come from, the preset itself first: paths of files, or ``invert.options.NAME``.
    """

    name: str
    options: dict[str, Any]
    description: str
    sources: tuple[str, ...]

    @property
    def where(self) -> str:
        """Where the preset itself stands, for messages."""
        return self.sources[0]

    def to_yaml(self) -> str:
        """Return the options as YAML: the same text for the same options."""
        return yaml.safe_dump(self.options, sort_keys=False, default_flow_style=None, width=120)


def preset_folders() -> list[Path]:
    """Return the folders of presets: ``presets/`` of the project in the current folder, then the shipped one.

    Raises:
        ParamsError: the installation lacks its presets.
    """
    package = Path(__file__).parents[1]
    shipped = [path for path in (package / "presets", package.parent / "presets") if path.is_dir()]
    if not shipped:
        raise ParamsError(f"{package / 'presets'}: ganvert's own presets are missing; install ganvert again")
    here = Path("presets")
    if here.resolve() == shipped[0].resolve():
        return [here]
    return [here, shipped[0]] if in_project() else shipped[:1]


@dataclasses.dataclass(frozen=True)
class _Source:
    """A preset as it is written: where, and the rank of its folder (-1 for one in params.yaml)."""

    name: str
    where: str
    rank: int
    raw: Any


class Presets:
    """All presets of one kind, by name.

    An inline preset hides a file of the same name, and a file of the project hides the shipped one. A preset that
    extends its own name refines the one that it hides. All other parents are files.
    """

    def __init__(
        self, kind: PresetKind, inline: Mapping[str, Any] | None = None, folders: Sequence[Path] | None = None
    ) -> None:
        """Collect the presets of a kind.

        Args:
            kind: METHODS or ENCODERS.
            inline: presets of params.yaml by name.
            folders: folders of presets, the first one wins; :func:`preset_folders` if not given.
        """
        self.kind = kind
        self.inline = dict(inline or {})
        self.folders = [folder / kind.folder for folder in (preset_folders() if folders is None else folders)]
        self._read: dict[Path, dict[str, Any]] = {}  # parents are shared by many

    @classmethod
    def of_project(cls, kind: PresetKind) -> Presets:
        """Return the presets of the project in the current folder, those in its params.yaml included; or the shipped.

        See :func:`ganvert.base.project.in_project`.
        """
        inline: Any = params.load(Path("params.yaml")) if in_project() else {}
        for part in kind.section.split("."):  # its section may be missing, or nothing yet
            inline = inline.get(part) or {} if isinstance(inline, Mapping) else {}
        return cls(kind, inline if isinstance(inline, Mapping) else {})

    @property
    def places(self) -> list[str]:
        """Where presets of this kind are found, the first place wins."""
        inline = [self.kind.section] if self.inline else []
        return [*inline, *(str(folder) for folder in self.folders if folder.is_dir())]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names: inline ones in their order, then those of files, sorted."""
        # Hidden files are those of editors and file systems (.#NAME.yaml, ._NAME.yaml).
        files = {path.stem for folder in self.folders for path in folder.glob("*.yaml") if path.name[0] != "."}
        return iter([*self.inline, *sorted(files - set(self.inline))])

    def resolve(self, name: str) -> ResolvedPreset:
        """Return a preset with its parents merged in.

        Raises:
            UnknownNameError: there is no such preset.
            ParamsError: a file cannot be read; a parent is missing; presets extend each other in a circle.
        """
        lookup(dict.fromkeys(self), name, self.kind.noun)
        if name in self.inline:
            source = _Source(name, f"{self.kind.section}.{name}", -1, self.inline[name])
        else:
            source = self._file(name, (), 0)
        options, sources = self._expand(source, ())
        description = source.raw.get("description", "")
        if not isinstance(description, str) or "\n" in description:
            raise ParamsError(f"{source.where}.description: wanted one line of text, got {brief(description)}")
        return ResolvedPreset(name, options, description, tuple(dict.fromkeys(sources)))

    def _file(self, name: str, heirs: tuple[str, ...], first: int) -> _Source:
        """Read the file of a preset from the first folder, counted from `first`, that has one."""
        for rank, folder in enumerate(self.folders[first:], first):
            path = folder / f"{name}.yaml"
            if os.path.isfile(path):  # noqa: PTH113 (false also for names that no file can have)
                if path not in self._read:
                    self._read[path] = params.load(path)
                return _Source(name, str(path), rank, self._read[path])
        known = [path.relative_to(folder).with_suffix("") for folder in self.folders for path in folder.rglob("*.yaml")]
        close = difflib.get_close_matches(name, map(str, known), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ParamsError(
            f"{' -> '.join(heirs)}: extends {brief(name)}, and there is no {brief(name)[1:-1]}.yaml in "
            f"{' or '.join(map(str, self.folders[first:])) or 'any folder behind it'}{hint}"
        )

    def _expand(self, source: _Source, heirs: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
        """Merge a preset over its parents.

        Args:
            source: the preset.
            heirs: where the presets stand that led here through ``extends``, the first one first.

        Returns:
            The options, and where they come from: the preset itself, then its parents in depth.
        """
        if source.where in heirs:
            raise ParamsError(f"presets extend each other in a circle: {' -> '.join((*heirs, source.where))}")
        if not isinstance(source.raw, Mapping):
            raise ParamsError(f"{source.where}: wanted a mapping of options, got {brief(source.raw)}")
        heirs = (*heirs, source.where)
        options: dict[str, Any] = {}
        sources = [source.where]
        for parent in _parents(source):
            # Its own name is the preset that it hides: the next folder's, or the first folder's for an inline one.
            first = source.rank + 1 if parent == source.name else 0
            inherited, files = self._expand(self._file(parent, heirs, first), heirs)
            options = _merge(options, inherited)
            sources += files
        own = {key: value for key, value in source.raw.items() if key not in _OWN_KEYS}
        if isinstance(own.get("stages"), list):
            stages = []
            for i, stage in enumerate(own["stages"]):
                item, files = self._stage(stage, f"{source.where}: stages[{i}]", heirs)
                stages.append(item)
                sources += files
            own["stages"] = stages
        return _merge(options, own), sources

    def _stage(self, raw: Any, where: str, heirs: tuple[str, ...]) -> tuple[Any, list[str]]:
        """Expand a stage of a chain, a preset without a name; anything but a mapping is left to who reads it."""
        if not isinstance(raw, Mapping):
            return raw, []
        options, sources = self._expand(_Source("", where, -1, raw), heirs)
        return options, sources[1:]


def _parents(source: _Source) -> list[str]:
    parents = source.raw.get("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise ParamsError(
            f"{source.where}.extends: wanted the name of a preset or a list of names, got {brief(parents)}"
        )
    return parents


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `under` with the values of `over`: mappings merge key by key, lists and everything else replace."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged

"""Parameters from YAML: frozen dataclasses out, and an error with its path for anything unknown or mistyped."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ganvert.base.errors import ParamsError

__all__ = ["build", "load", "section"]

T = TypeVar("T")


def load(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; raise :class:`ParamsError` when there is none or it is not a mapping."""
    try:
        raw = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: there is no such file; run from the project's folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: wanted a mapping, got {type(raw).__name__}")
    return raw


def section(raw: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path such as ``invert.options.wplus``; an error names the first missing part."""
    here: Any = raw
    walked: list[str] = []
    for part in path.split("."):
        walked.append(part)
        if not isinstance(here, Mapping) or part not in here:
            known = ", ".join(map(str, here)) if isinstance(here, Mapping) else "nothing"
            raise ParamsError(f"params: there is no {'.'.join(walked)!r}; known there: {known}")
        here = here[part]
    return here


def build(kind: type[T], raw: Any, path: str) -> T:
    """Make the dataclass `kind` of a parsed YAML value.

    Args:
        kind: a (frozen, keyword-only) dataclass; its field types may be scalars, Literal, Optional, list, tuple,
            dict or further dataclasses. ``__post_init__`` may raise ParamsError for values out of range.
        raw: the parsed value; a part of it may be a finished dataclass.
        path: its dotted path, for messages.

    Raises:
        ParamsError: unknown, missing or mistyped keys, each with its full path.
    """
    if not isinstance(raw, Mapping):
        raise ParamsError(f"{path}: wanted a mapping, got {raw!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [key for key in raw if key not in fields]
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), fields, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ParamsError(f"{path}: unknown keys {unknown}; known: {sorted(fields)}{hint}")
    missing = [
        name
        for name, field in fields.items()
        if name not in raw and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ParamsError(f"{path}: missing keys {missing}; known: {sorted(fields)}")
    hints = typing.get_type_hints(kind)
    values = {name: _convert(hints[name], value, f"{path}.{name}") for name, value in raw.items()}
    try:
        return kind(**values)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from error


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        for option in options[:-1]:
            try:
                return _convert(option, value, path)
            except ParamsError:
                continue
        return _convert(options[-1], value, path)
    if origin is typing.Literal:
        if value not in arguments or type(value) not in {type(option) for option in arguments}:
            raise ParamsError(f"{path}: wanted one of {', '.join(map(str, arguments))}, got {value!r}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ParamsError(f"{path}: wanted a list, got {value!r}")
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise ParamsError(f"{path}: wanted {len(arguments)} values, got {len(value)}")
            return tuple(_convert(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value)))
        return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ParamsError(f"{path}: wanted a mapping, got {value!r}")
        return {
            _convert(arguments[0], key, f"{path} key"): _convert(arguments[1], item, f"{path}.{key}")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(typing.cast(type, hint), value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ParamsError(f"{path}: wanted {hint.__name__}, got {value!r}")
    return value

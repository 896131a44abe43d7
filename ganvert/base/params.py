"""Parameters from YAML: frozen dataclasses out, and an error with its path for anything unknown or mistyped.

Numbers are finite and have at most 64 bits, wherever they stand: neither NaN nor infinity ever becomes a parameter.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.base.texts import brief

__all__ = ["build", "check_numbers", "load", "section"]

T = TypeVar("T")
_MOST_BYTES = 256 << 10  # of a YAML file; params.yaml has 8 KB
_MOST_VALUES = 20_000  # of a YAML file, aliases written out: ten lines of aliases can stand for billions of values
_MOST_DEPTH = 50
_INT64 = 1 << 63


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, in which 1e-2 is a number as it is for DVC (YAML 1.2); PyYAML alone reads it as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; raise :class:`ParamsError` when there is none or it is not a mapping."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: there is no such file; run from the project's folder") from error
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise ParamsError(f"{path}: wanted at most {_MOST_BYTES >> 10} KB of YAML, got more")
    try:
        raw = _parse(data)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from error
    except Exception as error:  # a value under a tag that it does not fit (!!timestamp x) can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ParamsError(f"{path}: not valid YAML: {reason}") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: wanted a mapping, got {type(raw).__name__}")
    return raw


def _parse(data: bytes) -> Any:
    """Return the value of a YAML document, after a check of its keys, and of its size with all aliases written out."""
    loader = _Loader(data)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _size(root, {}, 0)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[yaml.Node, int], depth: int) -> int:
    """Return how many values a node stands for; ParamsError for too many, too deep a nesting, a circle, a double key.

    Args:
        node: a composed node; aliases of it are the same object.
        known: nodes to their sizes, so that each is counted once; 0 for one whose parts are being counted.
        depth: of the node.
    """
    if node in known:
        if not known[node]:
            raise ParamsError("not valid YAML: an alias (*NAME) stands inside of what it names")
        return known[node]
    if depth > _MOST_DEPTH:
        raise ParamsError(f"not valid YAML: values inside of values, more than {_MOST_DEPTH} deep")
    known[node], size = 0, 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    if isinstance(node, yaml.CollectionNode):
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        size += sum(_size(part, known, depth + 1) for part in parts)
    if size > _MOST_VALUES:
        raise ParamsError(f"wanted at most {_MOST_VALUES} values, got more (aliases, *NAME, count as what they name)")
    known[node] = size
    return size


def _check_keys(node: yaml.MappingNode) -> None:
    """Refuse a key that stands twice, of which PyYAML would take the last one; DVC refuses it too."""
    seen = set[tuple[str, str]]()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise ParamsError(f"line {key.start_mark.line + 1}: the key {brief(key.value)} stands twice; keep one")
            seen.add((key.tag, key.value))


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
        UnknownNameError, UnsupportedError: as ``__post_init__`` raises them, with the path in front.
    """
    if not isinstance(raw, Mapping):
        raise ParamsError(f"{path}: wanted a mapping, got {brief(raw)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [key for key in raw if key not in fields]
    if unknown:
        close = difflib.get_close_matches(brief(unknown[0]).strip("'"), fields, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ParamsError(f"{path}: unknown keys {brief(unknown)}; known: {sorted(fields)}{hint}")
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
    except (ParamsError, UnknownNameError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def check_numbers(value: Any, path: str) -> None:
    """Raise ParamsError for a number that is not finite or has more than 64 bits, at any depth."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            check_numbers(key, f"{path} key")
            check_numbers(part, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            check_numbers(part, f"{path}[{i}]")
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ParamsError(f"{path}: wanted a number below 2^63, got {brief(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ParamsError(f"{path}: wanted a number that is finite, got {value}")


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        check_numbers(value, path)
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
            raise ParamsError(f"{path}: wanted one of {', '.join(map(str, arguments))}, got {brief(value)}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ParamsError(f"{path}: wanted a list, got {brief(value)}")
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise ParamsError(f"{path}: wanted {len(arguments)} values, got {len(value)}")
            return tuple(_convert(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value)))
        return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ParamsError(f"{path}: wanted a mapping, got {brief(value)}")
        return {
            _convert(arguments[0], key, f"{path} key"): _convert(arguments[1], item, f"{path}.{key}")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(typing.cast(type, hint), value, path)
    check_numbers(value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ParamsError(f"{path}: wanted {hint.__name__}, got {brief(value)}")
    return value

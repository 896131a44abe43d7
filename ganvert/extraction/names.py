"""Names of files as bytes: they need not be Unicode, and they sort by the parts of their paths."""

from __future__ import annotations

__all__ = ["from_blob", "sort_key", "to_blob"]


def sort_key(path: str) -> bytes:
    """Return bytes that sort as a path's parts do: no part holds a zero byte, which sorts before all others."""
    return to_blob(("/" if path.startswith("/") else "") + path.replace("/", "\0"))


def to_blob(text: str) -> bytes:
    """Encode a name. One that is not UTF-8 comes from the system with lone surrogates, and passes."""
    return text.encode("utf-8", "surrogatepass")


def from_blob(blob: bytes) -> str:
    """Decode what :func:`to_blob` encoded."""
    return str(blob, "utf-8", "surrogatepass")  # a TypeError for text, which a damaged catalogue may hold instead

"""Checkpoints of every format, read without executing anything that is in them."""

from __future__ import annotations

from ganvert.checkpoints.base import Checkpoint, Content, Format, Instance

__all__ = ["FORMATS", "Checkpoint", "Content", "Format", "Instance"]

#: name -> layout; the first that matches a file's content reads it
FORMATS: dict[str, Format] = {}

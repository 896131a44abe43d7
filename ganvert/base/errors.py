"""Every deliberate error of ganvert, one tree.

    GanvertError
    |- ParamsError        a parameter is unknown, missing or of the wrong type or range   (ValueError)
    |- UnknownNameError   a registry has no such entry                                    (KeyError)
    |- ShapeError         a tensor has the wrong shape                                    (ValueError)
    |- UnsupportedError   this generator, space or machine lacks what was asked for       (TypeError)
    |- AssetError         a file from outside is missing, damaged or cannot be fetched
    |  `- UnreachableError   the client or the network that would fetch it is missing
    |- CheckpointError    a weights file cannot be read safely, or does not fit
    |- TableError         a stored table is missing, damaged or of another version
    |  `- DamagedShardError  a finished shard is damaged; it is set aside and has to be computed again
    |- PhotoError         one photograph cannot be used (a row with a status, not a stop)
    |  |- NoFaceError     no face was found on it
    |  `- NoRegionError   its face lacks a region that a mask names
    |- InputError         a path that the user gave is missing, empty or unreadable
    |- StorageError       a disk is full, or a folder cannot be written to
    `- WorkerLostError    a worker process ended before its work was done (another one may do it)

A message says where, what was wanted, what came, and what to do.
"""

from __future__ import annotations

__all__ = [
    "AssetError",
    "CheckpointError",
    "DamagedShardError",
    "GanvertError",
    "InputError",
    "NoFaceError",
    "NoRegionError",
    "ParamsError",
    "PhotoError",
    "ShapeError",
    "StorageError",
    "TableError",
    "UnknownNameError",
    "UnreachableError",
    "UnsupportedError",
    "WorkerLostError",
]


class GanvertError(Exception):
    """Root of the tree: catch this to catch every error that ganvert raises on purpose.

    Its message is one line, whatever names and foreign messages it quotes.
    """

    def __str__(self) -> str:  # not super's: KeyError, a base of one of the errors, shows its message in quotes
        return " ".join(line.strip() for line in str(self.args[0] if self.args else "").splitlines())


class ParamsError(GanvertError, ValueError):
    """A parameter is unknown, missing, or of the wrong type or range."""


class UnknownNameError(GanvertError, KeyError):
    """A registry has no entry of that name."""


class ShapeError(GanvertError, ValueError):
    """A tensor has another shape than the caller promised."""


class UnsupportedError(GanvertError, TypeError):
    """This generator, space or machine lacks what was asked for."""


class AssetError(GanvertError):
    """A file from outside is missing, damaged or cannot be fetched."""


class UnreachableError(AssetError):
    """The place that an asset comes from cannot be reached: its client or the network is missing."""


class CheckpointError(GanvertError):
    """A weights file cannot be read safely, or does not fit its network."""


class TableError(GanvertError):
    """A stored table is missing, damaged or not of the schema that this code writes."""


class DamagedShardError(TableError):
    """A finished shard is damaged. It has been set aside; the next run computes it again."""


class InputError(GanvertError):
    """A path that the user gave is missing, empty or unreadable."""


class StorageError(GanvertError):
    """Results cannot be written: the disk is full, or the folder is read-only."""


class WorkerLostError(GanvertError):
    """A worker process ended (killed, out of memory, crashed) before its shard was done."""


class PhotoError(GanvertError):
    """One photograph cannot be used. Pipelines turn it into a row with `status` and `reason`."""

    status = "unreadable"


class NoFaceError(PhotoError):
    """No face was found on the photograph."""

    status = "no_face"


class NoRegionError(PhotoError):
    """The face on the photograph lacks a region that a mask names, such as glasses."""

    status = "no_region"

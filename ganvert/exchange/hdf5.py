"""Codes in HDF5 as face_synthetics keeps them (idiap/face_synthetics): a file of one sample, or a collection.

A sample has the datasets `z_latent` [1, d], `w_latent` [1, d] or `w_plus_latent` [1, rows, d]; in a collection it is
the group IDENTITY/LABEL. The library that reads the format, h5py, is an extra: ``pip install ganvert[hdf5]``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ganvert.base.errors import CheckpointError, InputError, TableError

__all__ = ["SIGNATURE", "read_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Names of a sample's datasets, of which the first that is there is read, to the space they are of.
LATENTS = {"w_plus_latent": "wplus", "w_latent": "w", "z_latent": "z"}
MAGIC = {"synthetics": False, "synthetics_collection": True}
VERSION = 2
MOST_NUMBERS = 1 << 20  # of one code; 18 rows of 512 are 9,216
MOST_SAMPLES = 1 << 22
#: Bytes of all codes to those of the file: links name one sample many times, and deflate makes zeros a thousand times
#: smaller. Equal rows of a w become 18 times smaller.
MOST_UNFOLDED = 64
#: deflate, shuffle, fletcher32: any other filter would be loaded as a plugin.
FILTERS = {1, 2, 3}


def read_hdf5(path: Path) -> tuple[list[str], str, np.ndarray]:
    """Return names, space, and codes [N, d] or [N, rows, d] of a file.

    Nothing outside of the file is read, and no filter other than HDF5's own is run.

    Raises:
        InputError: h5py is not installed, or the file is of something else.
        CheckpointError: it is damaged, or refers to other files.
        TableError: its samples are not codes of one space and shape.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: HDF5 files are read with h5py; install ganvert[hdf5]") from error
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except (InputError, CheckpointError, TableError):
        raise
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(f"{path}: refused as HDF5: {str(error) or type(error).__name__}") from error


def _read(file: Any, path: Path) -> tuple[list[str], str, np.ndarray]:
    collection = MAGIC.get(str(file.attrs.get("magic")))
    if collection is None or file.attrs.get("major") != VERSION:
        raise InputError(f"{path}: an HDF5 file, but none of face_synthetics, version {VERSION}")
    samples = {path.stem: file} if not collection else _samples(file, path)
    codes: list[np.ndarray] = []
    spaces, left = set(), MOST_UNFOLDED * path.stat().st_size
    for name, sample in samples.items():
        found = next((latent for latent in LATENTS if latent in sample), None)
        if found is None:
            raise TableError(f"{path}: {name} has no {', '.join(LATENTS)}")
        spaces.add(LATENTS[found])
        dataset = _checked(_own(sample, found, path), f"{path}: {name}/{found}")
        left -= 4 * dataset.size
        if left < 0:
            raise CheckpointError(f"{path}: its codes have over {MOST_UNFOLDED} times as many bytes as the file")
        codes.append(np.asarray(dataset[0], dtype=np.float32))
    if not codes or len(spaces) != 1 or len({code.shape for code in codes}) != 1:
        shapes = sorted({str(list(code.shape)) for code in codes})
        raise TableError(f"{path}: wanted codes of one space and shape, got {sorted(spaces)} of {', '.join(shapes)}")
    return list(samples), spaces.pop(), np.stack(codes)


def _samples(file: Any, path: Path) -> dict[str, Any]:
    """Return the groups of a collection by identity and label."""
    import h5py

    samples = {}
    for identity in file:
        group = _own(file, identity, path)
        for label in group if isinstance(group, h5py.Group) else ():
            samples[f"{identity}_{label}"] = _own(group, label, path)
            if len(samples) > MOST_SAMPLES:
                raise CheckpointError(f"{path}: more than {MOST_SAMPLES} samples")
    return samples


def _own(group: Any, name: str, path: Path) -> Any:
    """Return what a group holds itself: a link to another place or file is refused."""
    import h5py

    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise CheckpointError(f"{path}: {name!r:.100} is a link to another place; only a file's own content is read")
    return group[name]


def _checked(dataset: Any, where: str) -> Any:
    """Return a dataset [1, d] or [1, rows, d] after a check that reading it reads this file, and not too much of it."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f" or dataset.ndim not in (2, 3):
        raise TableError(f"{where}: wanted floats of shape [1, d] or [1, rows, d]")
    if len(dataset) != 1 or not 0 < dataset.size <= MOST_NUMBERS:
        raise TableError(f"{where}: wanted one code, got shape {list(dataset.shape)}")
    made = dataset.id.get_create_plist()
    filters = {made.get_filter(i)[0] for i in range(made.get_nfilters())}
    if dataset.external or dataset.is_virtual or not filters <= FILTERS:
        raise CheckpointError(f"{where}: its numbers are in other files, or need a plugin")
    # A piece is unpacked as a whole, however much of it is in the dataset.
    if dataset.chunks is not None and math.prod(dataset.chunks) > MOST_NUMBERS:
        raise CheckpointError(
            f"{where}: stored in pieces of {list(dataset.chunks)} numbers; up to {MOST_NUMBERS} are read"
        )
    return dataset

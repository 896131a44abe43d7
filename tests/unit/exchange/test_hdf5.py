"""HDF5 of face_synthetics: written as its code does, and hostile twins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvert.base.errors import CheckpointError, GanvertError, InputError, TableError
from ganvert.codes import read_codes
from ganvert.compute.random import normal
from ganvert.exchange.codes_from import read_foreign_codes
from ganvert.exchange.import_codes import import_codes
from ganvert.generators.mobile_stylegan import MobileStyleGAN

h5py = pytest.importorskip("h5py")


def start(file: Any, *, collection: bool = False, major: int = 2) -> None:
    file.attrs["magic"] = "synthetics_collection" if collection else "synthetics"
    file.attrs["major"], file.attrs["minor"] = major, 0
    file.attrs["network_type"] = "stylegan2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def test_a_sample(path: Path, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    w = normal([0], (16,)).numpy()
    with h5py.File(path, "w") as file:
        start(file)
        file.create_dataset("z_latent", data=np.zeros((1, 16), "f4"))
        file.create_dataset("w_latent", data=w)
    assert import_codes(path, tiny_generator, tmp_path / "codes.parquet") == (1, "w")
    codes = read_codes(tmp_path / "codes.parquet", tiny_generator)
    assert codes.image_ids == ["a"]
    assert torch.equal(codes.variables["w"], torch.from_numpy(w))


def test_a_collection(path: Path, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    ws = normal(range(3), (8, 16)).numpy()
    with h5py.File(path, "w") as file:
        start(file, collection=True)
        for i, (identity, label) in enumerate([("00000", "smile"), ("00000", "neutral"), ("00007", "smile")]):
            data = ws[i : i + 1]
            file.create_dataset(f"{identity}/{label}/w_plus_latent", data=data, compression="gzip" if i else None)
    assert import_codes(path, tiny_generator, tmp_path / "codes.parquet") == (3, "wplus")
    codes = read_codes(tmp_path / "codes.parquet", tiny_generator)
    # HDF5 lists a group's members by name.
    assert codes.image_ids == ["00000_neutral", "00000_smile", "00007_smile"]
    assert torch.equal(codes.variables["ws"], torch.from_numpy(ws[[1, 0, 2]]))


def test_what_is_no_file_of_the_tool_is_refused(path: Path) -> None:
    def refuse(error: type, says: str, *, major: int = 2, **datasets: Any) -> None:
        with h5py.File(path, "w") as file:
            start(file, major=major)
            for name, data in datasets.items():
                file.create_dataset(name, data=data)
        with pytest.raises(error, match=says):
            read_foreign_codes(path)

    refuse(InputError, "none of face_synthetics", major=1)
    refuse(TableError, "has no w_plus_latent, w_latent, z_latent", embedding=np.zeros((1, 16), "f4"))
    refuse(TableError, "wanted floats of shape", w_latent=np.zeros((1, 16), "i4"))
    refuse(TableError, "wanted floats of shape", w_latent=np.zeros(16, "f4"))
    refuse(TableError, "wanted one code", w_latent=np.zeros((2, 16), "f4"))
    refuse(GanvertError, "not finite", w_latent=np.full((1, 16), np.nan, "f4"))
    with h5py.File(path, "w") as file:
        file.create_dataset("w_latent", data=np.zeros((1, 16)))
    with pytest.raises(InputError, match="none of face_synthetics"):
        read_foreign_codes(path)
    with h5py.File(path, "w") as file:
        start(file, collection=True)
        file.create_dataset("0/a/w_latent", data=np.zeros((1, 16)))
        file.create_dataset("0/b/z_latent", data=np.zeros((1, 16)))
    with pytest.raises(TableError, match="one space and shape"):
        read_foreign_codes(path)


def test_nothing_outside_of_the_file_is_read(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        start(file)
        file.create_dataset("w_latent", data=np.ones((1, 16), "f4"))
    (tmp_path / "secret.bin").write_bytes(bytes(64))

    def link(file: Any) -> None:
        file["w_latent"] = h5py.ExternalLink(str(secret), "/w_latent")

    def soft(file: Any) -> None:
        file.create_dataset("other", data=np.ones((1, 16), "f4"))
        file["w_latent"] = h5py.SoftLink("/other")

    def external(file: Any) -> None:
        file.create_dataset("w_latent", (1, 16), "f4", external=[(str(tmp_path / "secret.bin"), 0, 64)])

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((1, 16), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "w_latent", (1, 16))
        file.create_virtual_dataset("w_latent", layout)

    def huge(file: Any) -> None:
        file.create_dataset("w_latent", (1, 1 << 40), "f4", chunks=(1, 1 << 16), compression="gzip")

    for make in (link, soft, external, virtual, huge):
        with h5py.File(path, "w") as file:
            start(file)
            make(file)
        with pytest.raises(GanvertError, match=r"link to another|in other files|wanted one code"):
            read_foreign_codes(path)


def test_a_file_that_unfolds_to_more_than_it_can_hold_is_refused(path: Path) -> None:
    def linked(file: Any) -> None:
        file.create_dataset("0/0/w_latent", data=np.zeros((1, 1 << 14), "f4"), compression="gzip")
        for i in range(1, 100):
            file[f"0/{i}"] = file["0/0"]

    def unwritten(file: Any) -> None:
        for i in range(10):
            file.create_dataset(f"0/{i}/w_latent", (1, 1 << 20), "f4")

    def in_a_huge_piece(file: Any) -> None:
        options = {"maxshape": (None, None), "chunks": (1, 1 << 22), "compression": "gzip"}
        file.create_dataset("0/0/w_latent", (1, 16), "f4", **options)

    for make, says in ((linked, "64 times"), (unwritten, "64 times"), (in_a_huge_piece, "in pieces of")):
        with h5py.File(path, "w") as file:
            start(file, collection=True)
            make(file)
        with pytest.raises(CheckpointError, match=says):
            read_foreign_codes(path)


def test_damaged_files_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        start(file)
        file.create_dataset("w_latent", data=np.ones((1, 16), "f4"))
    whole = path.read_bytes()
    for length in (8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"a\.h5"):
            read_foreign_codes(path)
    random = np.random.default_rng(0)
    for _ in range(200):  # read as something, or refused
        changed = bytearray(whole)
        for place in random.integers(8, len(whole), size=4):
            changed[place] = int(random.integers(256))
        path.write_bytes(bytes(changed))
        try:
            read_foreign_codes(path)
        except GanvertError:
            continue

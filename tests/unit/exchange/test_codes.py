"""Codes of other tools: golden files bit for bit, pictures of their generators, round trips, hostile twins."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ganvert.base.errors import CheckpointError, GanvertError, InputError, ParamsError, ShapeError, UnsupportedError
from ganvert.codes import read_codes
from ganvert.compute.random import normal
from ganvert.exchange.codes_from import read_foreign_codes
from ganvert.exchange.codes_to import CODE_EXPORTS, export_codes
from ganvert.exchange.files import names_of_files
from ganvert.exchange.import_codes import import_codes
from ganvert.generators import load_generator
from ganvert.generators.base import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "exchange"
CODES = GOLDEN / "codes"


def imported(path: Path, generator: Generator, folder: Path, **options: Any) -> Any:
    import_codes(path, generator, folder / "codes.parquet", **options)
    return read_codes(folder / "codes.parquet", generator)


def test_e4e(golden: Any, wide_generator: MobileStyleGAN, tmp_path: Path) -> None:
    codes = imported(CODES / "e4e_latents.pt", wide_generator, tmp_path, names=["b/ann.jpg", "c/ann.png"])
    assert (codes.space_name, codes.image_ids) == ("wplus", ["ann", "ann-2"])
    assert torch.equal(codes.variables["ws"], torch.from_numpy(golden("e4e_latents", (2, 18, 512), 0, 1.5)))


def test_pti_whose_rows_are_equal_is_w(golden: Any, wide_generator: MobileStyleGAN, tmp_path: Path) -> None:
    codes = imported(CODES / "pti_embedding.pt", wide_generator, tmp_path)
    assert codes.space_name == "w"
    assert torch.equal(codes.variables["w"], torch.from_numpy(golden("pti_embedding", (1, 512), 0, 1)))
    rows = imported(CODES / "pti_embedding.pt", wide_generator, tmp_path, space="wplus")
    assert rows.variables["ws"].shape == (1, 18, 512)


def test_restyle_takes_the_last_pass(golden: Any, wide_generator: MobileStyleGAN, tmp_path: Path) -> None:
    codes = imported(CODES / "restyle_latents.npy", wide_generator, tmp_path)
    assert codes.image_ids == ["photo_0"]
    expected = golden("restyle_latents/photo_0.jpg/1", (18, 512), 0, 2)
    assert torch.equal(codes.variables["ws"][0], torch.from_numpy(expected))


@pytest.mark.parametrize("shape", [(8, 16), (16,)])
def test_one_image_by_name_is_read_as_several_are(
    shape: tuple[int, ...], tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    both = dict(zip(["ann.jpg", "bob.jpg"], normal([0, 1], shape).numpy(), strict=True))
    for count in (2, 1):
        np.save(tmp_path / "latents.npy", dict(list(both.items())[:count]), allow_pickle=True)  # type: ignore[arg-type]
        found = read_foreign_codes(tmp_path / "latents.npy")
        assert (found.kind, found.names) == ("restyle", ["ann.jpg", "bob.jpg"][:count])
        assert found.rows is not None and torch.equal(found.rows[0], torch.from_numpy(both["ann.jpg"]))
    np.savez(tmp_path / "w.npz", w=both["ann.jpg"][None])  # as StyleGAN2-ADA's projector: the name is none of an image
    assert read_foreign_codes(tmp_path / "w.npz").kind == "rows"


def test_rosinality_with_its_noise_maps(golden: Any) -> None:
    codes = read_foreign_codes(CODES / "rosinality_projected.pt")
    assert codes.names == ["a.png", "b.png"]
    assert codes.rows is not None
    assert torch.equal(codes.rows, torch.from_numpy(golden("rosinality/latent", (2, 512), 0, 1.2)))
    for i, size in enumerate([4, 8, 8, 16, 16, 32, 32]):
        expected = golden(f"rosinality/noise_{i}", (2, 1, size, size), 0, 1.7)
        assert torch.equal(codes.noise[i], torch.from_numpy(expected))


def test_styleclip_in_s(golden: Any) -> None:
    codes = read_foreign_codes(CODES / "styleclip_s.pt")
    assert len(codes.styles) == 26
    for i, style in enumerate(codes.styles):
        assert torch.equal(style, torch.from_numpy(golden(f"styleclip_s/{i}", (1, style.shape[1]), 1, 0.5)))


def test_bdinvert(golden: Any, wide_generator: MobileStyleGAN, tmp_path: Path) -> None:
    for kind in ("detail", "base"):
        (tmp_path / f"invert_{kind}code").mkdir()
        content = (CODES / f"bdinvert_{kind}code.npy").read_bytes()
        (tmp_path / f"invert_{kind}code" / "ann.npy").write_bytes(content)
    codes = imported(tmp_path, wide_generator, tmp_path / "out")
    assert (codes.space_name, codes.image_ids) == ("f16/wplus", ["ann"])
    expected = golden("bdinvert_basecode", (1, 64, 16, 16), 0, 1.5)
    assert torch.equal(codes.variables["f"], torch.from_numpy(expected))
    # The rows before the feature act on nothing; ours are those behind it.
    rows = golden("bdinvert_detailcode", (1, 18, 512), 0, 1)[:, -codes.variables["ws"].shape[1] :]
    assert torch.equal(codes.variables["ws"], torch.from_numpy(rows))
    (tmp_path / "invert_basecode" / "bob.npy").write_bytes(content)
    with pytest.raises(InputError, match="a file of each name in both folders"):
        read_foreign_codes(tmp_path)


@pytest.mark.parametrize("name", ["B1_rosinality_w64_map8.pt", "A2_ada_skip_w64_map8.pkl"])
def test_foreign_codes_draw_the_pictures_of_their_tool(name: str, tmp_path: Path) -> None:
    """ws, and the styles of these ws, drawn by the generator they belong to."""
    path = GOLDEN.parent / "checkpoints" / name
    recorded = np.load(path.with_suffix(".npz"))
    generator = load_generator(path).requires_grad_(False)
    ws, expected = torch.from_numpy(recorded["ws_mix"]), torch.from_numpy(recorded["img_mix_const"])
    torch.save(ws, tmp_path / "latents.pt")
    codes = imported(tmp_path / "latents.pt", generator, tmp_path)
    assert codes.space_name == "wplus"
    torch.testing.assert_close(codes.draw(), expected, atol=1e-5, rtol=0)
    # StyleCLIP's list goes conv1, to_rgb1, then conv, conv, to_rgb of every size.
    slots = [torch.from_numpy(recorded[key]) for key in _slots_in_order(generator, recorded)]
    torch.save([slot[:, None, :, None, None] for slot in slots], tmp_path / "styles.pt")
    styles = imported(tmp_path / "styles.pt", generator, tmp_path)
    assert styles.space_name == "s"
    torch.testing.assert_close(styles.draw(), expected, atol=1e-5, rtol=0)


def _slots_in_order(generator: Generator, recorded: Any) -> list[str]:
    """Keys of the recorded styles in the order of the layers, found by equality with the generator's own."""
    ours = generator.styles(torch.from_numpy(recorded["ws_mix"]))
    keys = [key for key in recorded.files if key.startswith("style/")]
    order = []
    for slot in generator.style_layout:
        (key,) = [
            key
            for key in keys
            if recorded[key].shape == ours[slot.name].shape
            and np.allclose(recorded[key], ours[slot.name], atol=1e-4)
            and key not in order
        ][:1]
        order.append(key)
    assert sorted(order) == sorted(keys)
    return order


@pytest.mark.parametrize("kind", ["e4e", "npy", "npz"])
def test_exports_of_rows_come_back_exactly(kind: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    ws = make_space("wplus", tiny_generator).from_random([1, 2, 3])["ws"]
    ws = ws + 0.1 * normal([1, 2, 3], (8, 16))
    np.save(tmp_path / "in.npy", ws.numpy())
    table = tmp_path / "codes.parquet"
    import_codes(tmp_path / "in.npy", tiny_generator, table, names=["x", "y", "z"])
    assert export_codes(table, tiny_generator, kind, tmp_path / f"out.{kind}") == 3
    files = {"npz": [tmp_path / f"out.npz/{name}.npz" for name in "xyz"]}.get(kind, [tmp_path / f"out.{kind}"])
    again = torch.cat([imported(file, tiny_generator, tmp_path / file.stem).variables["ws"] for file in files])
    assert torch.equal(again, ws)
    if kind != "npz":
        assert (tmp_path / "out.txt").read_text() == "x\ny\nz\n"


@pytest.mark.parametrize("kind", ["webdataset", "huggingface"])
def test_exports_that_keep_every_variable(kind: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    for part, shape in (("base", tiny_generator.feature_points[3].shape), ("detail", (8, 16))):
        (tmp_path / f"invert_{part}code").mkdir()
        np.save(tmp_path / f"invert_{part}code" / "ann.b.npy", normal([7], shape).numpy())
    table = tmp_path / "codes.parquet"
    import_codes(tmp_path, tiny_generator, table)
    codes = read_codes(table, tiny_generator)
    with pytest.raises(UnsupportedError, match="no ws"):
        export_codes(table, tiny_generator, "e4e", tmp_path / "latents.pt")
    assert not (tmp_path / "latents.pt").exists()
    with pytest.raises(InputError, match="the names of the images go there"):
        export_codes(table, tiny_generator, "e4e", tmp_path / "latents.txt")
    export_codes(table, tiny_generator, kind, tmp_path / "out")
    if kind == "huggingface":
        again = read_codes(tmp_path / "out" / "codes.parquet", tiny_generator)
        assert {name: value.tolist() for name, value in again.variables.items()} == {
            name: value.tolist() for name, value in codes.variables.items()
        }
        assert codes.space_name in (tmp_path / "out" / "README.md").read_text()
        with pytest.raises(InputError, match="exists already"):
            export_codes(table, tiny_generator, kind, tmp_path / "out")
        return
    with tarfile.open(tmp_path / "out") as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert set(members) == {"ann_b.json", "ann_b.f.npy", "ann_b.ws.npy"}
    assert json.loads(members["ann_b.json"])["space"] == codes.space_name
    for name, value in codes.variables.items():
        assert np.array_equal(np.load(io.BytesIO(members[f"ann_b.{name}.npy"])), value[0])


def test_equal_codes_make_equal_files(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", normal([1, 2], (8, 16)).numpy())
    import_codes(tmp_path / "in.npy", tiny_generator, tmp_path / "codes.parquet")
    for kind in ("e4e", "npy", "webdataset"):
        for name in ("first", "second"):
            export_codes(tmp_path / "codes.parquet", tiny_generator, kind, tmp_path / name)
        assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes(), kind


def test_samples_of_webdataset_have_names_of_their_own(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", normal([1, 2], (8, 16)).numpy())
    import_codes(tmp_path / "in.npy", tiny_generator, tmp_path / "codes.parquet", names=["a.b", "a_b"])
    export_codes(tmp_path / "codes.parquet", tiny_generator, "webdataset", tmp_path / "out")
    with tarfile.open(tmp_path / "out") as archive:
        assert archive.getnames() == ["a_b.json", "a_b.ws.npy", "a_b-2.json", "a_b-2.ws.npy"]


@pytest.mark.parametrize("kind", sorted(CODE_EXPORTS))
def test_a_table_without_codes_is_refused(kind: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    table = tmp_path / "codes.parquet"
    np.save(tmp_path / "in.npy", normal([1], (8, 16)).numpy())
    import_codes(tmp_path / "in.npy", tiny_generator, table)
    pq.write_table(pq.read_table(table).slice(0, 0), table)
    with pytest.raises(InputError, match="wanted codes to export"):
        export_codes(table, tiny_generator, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_export_is_tested() -> None:
    assert set(CODE_EXPORTS) == {"e4e", "npy", "npz", "webdataset", "huggingface"}


@pytest.mark.parametrize("name", sorted(path.name for path in (GOLDEN / "hostile").glob("*")))
def test_hostile_twins_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"asks for|only numbers"):
        read_foreign_codes(GOLDEN / "hostile" / name)


@pytest.mark.parametrize(
    ("codes", "options", "error", "words"),
    [
        (np.zeros((2, 8, 8), "f4"), {"space": "wplus"}, ShapeError, r"wanted \[N, 8, 16\], got \[2, 8, 8\]"),
        (np.ones((2, 18, 16), "f4"), {}, ShapeError, "18 rows, but the generator has 8"),
        (np.zeros((2, 16), "f4"), {}, InputError, "z or w"),
        (normal([0], (2, 8, 16))[0].numpy(), {"space": "w"}, ShapeError, "rows of a code differ"),
        (np.zeros((2, 8, 16), "f4"), {"names": ["a"]}, ParamsError, "wanted 2 names"),
        (np.full((2, 8, 16), np.nan, "f4"), {}, GanvertError, "not finite"),
        (np.zeros((2, 8, 16), "i4"), {}, InputError, "no file of codes"),
        (np.zeros((2, 8, 16), "f4"), {"space": "f16/wplus"}, ShapeError, "no feature map"),
    ],
)
def test_codes_that_do_not_fit(
    codes: np.ndarray, options: Any, error: type, words: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    np.save(tmp_path / "codes.npy", codes)
    with pytest.raises(error, match=words):
        import_codes(tmp_path / "codes.npy", tiny_generator, tmp_path / "out.parquet", **options)
    assert not (tmp_path / "out.parquet").exists()


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    for file in sorted(CODES.glob("*")):
        content = file.read_bytes()
        for size in (5, 100, len(content) // 2, len(content) - 1):
            (tmp_path / file.name).write_bytes(content[:size])
            with pytest.raises(CheckpointError):
                read_foreign_codes(tmp_path / file.name)


def test_names_become_file_names_of_their_own() -> None:
    assert names_of_files(["a/b c.jpg", "x\\b c.png", "é.jpg", "subject.01"]) == ["b c", "b c-2", "é", "subject.01"]

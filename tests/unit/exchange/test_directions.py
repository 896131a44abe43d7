"""Directions of other tools: golden files, units that are standard deviations, round trips."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvert.base.errors import (
    CheckpointError,
    GanvertError,
    InputError,
    ParamsError,
    ShapeError,
    TableError,
    UnsupportedError,
)
from ganvert.directions import Direction, choose, load_directions
from ganvert.exchange import import_directions as importing
from ganvert.exchange.directions_from import read_foreign_directions
from ganvert.exchange.directions_to import DIRECTION_EXPORTS, export_direction
from ganvert.exchange.import_directions import import_directions
from ganvert.exchange.style_directions import to_vectors
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import codes_of
from ganvert.spaces import make_space

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "exchange"
FILES = GOLDEN / "directions"


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "SAMPLES", 300)


def one(path: Path, generator: MobileStyleGAN, folder: Path, **options: Any) -> Direction:
    (direction,) = import_directions(path, generator, folder / "directions.parquet", **options)
    return direction


@pytest.mark.parametrize(
    ("file", "recorded"),
    [
        ("e4e_age.pt", ("e4e_age", (1, 512), 0, 0.07)),
        ("interfacegan_boundary.npy", ("interfacegan_boundary", (1, 512), 0, 0.07)),
        ("e4e_pose.pt", ("e4e_pose", (1, 18, 512), 0, 0.02)),
        ("wplus_boundary.npy", ("wplus_boundary", (1, 18, 512), 0, 0.02)),
    ],
)
def test_vectors(golden: Any, file: str, recorded: Any, wide_generator: MobileStyleGAN, tmp_path: Path) -> None:
    direction = one(FILES / file, wide_generator, tmp_path, space="w", unit="own")
    expected = golden(*recorded).astype("f8")[0]
    if file.endswith("npy"):  # boundaries are unit vectors
        expected /= np.linalg.norm(expected)
    assert direction.name == Path(file).stem
    assert direction.space == ("wplus" if expected.ndim == 2 else "w")
    assert (direction.first_row, direction.last_row) == (0, 18)
    # Amount 1 is then the tool's factor 1, to float32's rounding.
    assert np.abs(direction.step(1) - expected).max() < 1e-8
    kept = choose(load_directions(tmp_path / "directions.parquet", wide_generator), direction.name, "w")
    assert np.abs(kept.step(1) - expected).max() < 1e-7


@pytest.mark.parametrize(("file", "space"), [("e4e_ganspace_pca.pt", None), ("ganspace_components.npz", "z")])
def test_components_of_ganspace(
    golden: Any, file: str, space: str | None, wide_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    table = tmp_path / "directions.parquet"
    found = import_directions(FILES / file, wide_generator, table, space=space, unit="own", name="pca")
    assert [direction.name for direction in found] == [f"pca-pc{i}" for i in range(10)]
    if file.endswith("npz"):
        vectors = golden("ganspace_components/lat_comp", (10, 1, 512), 0, 0.076)[:, 0]
        steps = golden("ganspace_components/lat_stdev", (10,), 1.5, 0.5)
    else:
        vectors = golden("ganspace_pca/comp", (512, 10), 0, 0.076).T
        steps = golden("ganspace_pca/std", (10,), 2, 1)
    for direction, vector, step in zip(found, vectors, steps, strict=True):
        np.testing.assert_allclose(direction.step(1), vector * step, atol=1e-6)


def test_idinvert_moves_the_rows_it_names(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    vector = np.random.default_rng(0).standard_normal((1, 8, 16)).astype("f4")
    content = {"boundary": vector, "meta_data": {"manipulate_layers": [2, 4]}}
    np.save(tmp_path / "pose.npy", np.array(content, dtype=object), allow_pickle=True)
    direction = one(tmp_path / "pose.npy", tiny_generator, tmp_path, unit="own")
    assert (direction.space, direction.first_row, direction.last_row) == ("wplus", 2, 5)
    np.testing.assert_allclose(direction.step(1), [vector[0, 2], np.zeros(16), vector[0, 4]], atol=1e-6)


@pytest.mark.parametrize(
    ("count", "layers", "words"),
    [
        (1, ["a"], "manipulate_layers are"),
        (1, [None], "manipulate_layers are"),
        (1, [float("nan")], "manipulate_layers are"),
        (1, [8], "manipulate_layers are"),
        (2, [0], "wanted one boundary"),
        (2, None, "wanted one boundary"),
    ],
)
def test_boundaries_that_are_not_read(count: int, layers: Any, words: str, tmp_path: Path) -> None:
    content = {"boundary": np.ones((count, 8, 16), "f4"), "meta_data": {"manipulate_layers": layers}}
    np.save(tmp_path / "pose.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(TableError, match=words):
        read_foreign_directions(tmp_path / "pose.npy")


def test_a_boundary_alone_is_one_of_w(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    content = {"boundary": np.ones((1, 8, 16), "f4")}
    np.save(tmp_path / "pose.npy", np.array(content, dtype=object), allow_pickle=True)
    direction = one(tmp_path / "pose.npy", tiny_generator, tmp_path)
    assert (direction.space, direction.method) == ("wplus", "imported_idinvert")


@pytest.mark.parametrize("step", [0.0, -0.5])
def test_a_step_of_no_positive_length_is_refused(step: float, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    parts = {"mean": np.zeros((1, 16), "f4"), "comp": np.eye(16, dtype="f4")[:2, None], "std": np.float32([1, step])}
    np.savez(tmp_path / "pca.npz", **parts)
    with pytest.raises(ParamsError, match=f"pc1: wanted a positive length of amount 1, got {step:g}"):
        import_directions(tmp_path / "pca.npz", tiny_generator, tmp_path / "directions.parquet", unit="own")
    import_directions(tmp_path / "pca.npz", tiny_generator, tmp_path / "directions.parquet")
    assert len(load_directions(tmp_path / "directions.parquet", tiny_generator)) == 2


def test_a_direction_along_which_nothing_varies(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    flat = copy.deepcopy(tiny_generator)
    for value in flat.mapping.parameters():
        value.zero_()
    flat.conv1.affine.weight.zero_()
    np.save(tmp_path / "v.npy", np.ones((1, 16)))
    with pytest.raises(ParamsError, match="do not vary along it"):
        one(tmp_path / "v.npy", flat, tmp_path, space="w")
    direction = Direction("v", "s", "mine", np.eye(1, 16)[0], 1.0, 0, 1)
    with pytest.raises(ParamsError, match="channel 0 of conv1 is the same in all samples"):
        export_direction(direction, flat, "channels", tmp_path / "v.json")


def test_a_named_direction_of_ganspace(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    content = {
        "name": "hair", "lat_comp": np.ones((1, 16), "f4"), "lat_stdev": 0.5, "latent_space": "W",
        "edit_type": "latent", "edit_start": 1, "edit_end": 4, "sigma_range": np.float64(2),
    }  # fmt: skip
    (tmp_path / "hair.pkl").write_bytes(pickle.dumps(content))
    direction = one(tmp_path / "hair.pkl", tiny_generator, tmp_path, unit="own")
    assert (direction.name, direction.space, direction.first_row, direction.last_row) == ("hair", "w", 1, 4)
    np.testing.assert_allclose(direction.step(2), np.ones(16), atol=1e-6)
    (tmp_path / "hair.pkl").write_bytes(pickle.dumps(content | {"lat_stdev": float("nan")}))
    with pytest.raises(TableError, match="lat_stdev is nan"):
        read_foreign_directions(tmp_path / "hair.pkl")
    (tmp_path / "hair.pkl").write_bytes(pickle.dumps(content | {"edit_type": "activation"}))
    with pytest.raises(UnsupportedError, match="activations"):
        read_foreign_directions(tmp_path / "hair.pkl")


def test_fit_is_one_standard_deviation_of_the_samples(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    vector = np.random.default_rng(0).standard_normal(16)
    np.save(tmp_path / "v.npy", vector[None])
    z, w = (codes.double().numpy() for codes in codes_of(tiny_generator, range(300)))
    for space, codes in (("z", z), ("w", w)):
        direction = one(tmp_path / "v.npy", tiny_generator, tmp_path, space=space, name=space)
        assert direction.unit == pytest.approx(np.std(codes @ vector, ddof=1) / np.linalg.norm(vector))
    # The same vector on each row moves every row as far as the single vector does.
    np.save(tmp_path / "rows.npy", np.repeat(vector[None, None], 8, axis=1))
    rows = one(tmp_path / "rows.npy", tiny_generator, tmp_path, space="w")
    np.testing.assert_allclose(rows.step(1), np.repeat(direction.step(1)[None], 8, axis=0), rtol=1e-5)


@pytest.mark.parametrize("space", ["wplus", "s", "f16/wplus", "w"])
def test_a_vector_per_row_moves_each_row(space: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """Against the sum of eight directions of one row each."""
    vectors = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    codes = make_space(space, tiny_generator)
    variables = codes.from_random([3])
    whole = codes.move(variables, [(vectors, (0, 8))])
    single = codes.move(variables, [(vector, (i, i + 1)) for i, vector in enumerate(vectors)])
    pictures = [tiny_generator.synthesize(inputs) for inputs in (whole, single)]
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=0)


def test_a_vector_per_row_of_z(tiny_generator: MobileStyleGAN) -> None:
    vectors = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    codes = make_space("zplus", tiny_generator)
    variables = codes.from_random([3])
    whole = codes.move(variables, [(vectors, (3, 7))], "stepped")
    single = codes.move(variables, [(vector, (3 + i, 4 + i)) for i, vector in enumerate(vectors)], "stepped")
    torch.testing.assert_close(whole.ws, single.ws, atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["npy", "pt"])
@pytest.mark.parametrize("rows", [(0, 8), (2, 5)])
def test_exports_come_back(kind: str, rows: Any, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((1, 16)))
    direction = one(tmp_path / "v.npy", tiny_generator, tmp_path, space="w", rows=rows)
    export_direction(direction, tiny_generator, kind, tmp_path / f"again.{kind}")
    again = one(tmp_path / f"again.{kind}", tiny_generator, tmp_path, space="w", unit="own")
    step = np.zeros((8, 16), "f4")
    step[rows[0] : rows[1]] = direction.step(1)
    np.testing.assert_allclose(np.broadcast_to(again.step(1), (8, 16)), step, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(DIRECTION_EXPORTS))
def test_exports_of_s_come_back(kind: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    layout = tiny_generator.style_layout
    (tmp_path / "v.json").write_text(json.dumps({"v": [[layout[2].name, 3, 0.5], [layout[5].name, 1, -2]]}))
    direction = one(tmp_path / "v.json", tiny_generator, tmp_path)
    export_direction(direction, tiny_generator, kind, tmp_path / "again")
    again = one(tmp_path / "again", tiny_generator, tmp_path, name="again", space="s", unit="own")
    steps = [np.concatenate(to_vectors(each.step(1), each, tiny_generator)) for each in (direction, again)]
    assert np.count_nonzero(steps[0]) == 2
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("space", "kind", "rows", "words"),
    [("w", "channels", (0, 8), "channels are those of s"), ("z", "npy", (2, 5), "these tools move whole z")],
)
def test_what_a_kind_has_no_place_for(
    space: Any, kind: str, rows: Any, words: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    direction = Direction("v", space, "mine", np.eye(1, 16)[0], 1.0, *rows)
    with pytest.raises(ParamsError, match=words):
        export_direction(direction, tiny_generator, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_list_of_channels_is_short(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    width = sum(slot.width for slot in tiny_generator.style_layout)
    direction = Direction("v", "s", "mine", np.full(width, width**-0.5), 1.0, 0, 8)
    with pytest.raises(ParamsError, match=f"{width} channels move; a list of channels has at most 100"):
        export_direction(direction, tiny_generator, "channels", tmp_path / "out")


@pytest.mark.parametrize(
    ("vector", "options", "error", "words"),
    [
        (np.ones((1, 16)), {}, ParamsError, "may be of z or w"),
        (np.ones((1, 12)), {"space": "w"}, ShapeError, "12 numbers, but w of the generator has 16"),
        (np.ones((1, 6, 16)), {"space": "w"}, ShapeError, "6 rows, but the generator has 8"),
        (np.zeros((1, 16)), {"space": "w"}, ShapeError, "is zero"),
        (np.full((1, 16), np.inf), {"space": "w"}, GanvertError, "not finite"),
        (np.full((1, 16), 1e300), {"space": "w"}, GanvertError, "too large for float32"),
        (np.ones((1, 16)), {"space": "w", "rows": (4, 9)}, ShapeError, "rows"),
        (np.ones((1, 16)), {"space": "w", "unit": -1.0}, ParamsError, "positive"),
        (np.ones((1, 16), dtype=int), {"space": "w"}, InputError, "no directions"),
    ],
)
def test_directions_that_do_not_fit(
    vector: np.ndarray, options: Any, error: type, words: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", vector)
    with pytest.raises(error, match=words):
        one(tmp_path / "v.npy", tiny_generator, tmp_path, **options)
    assert not (tmp_path / "directions.parquet").exists()


def test_a_name_is_given_once(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((1, 16)))
    one(tmp_path / "v.npy", tiny_generator, tmp_path, space="w")
    with pytest.raises(InputError, match="has a direction 'v' already"):
        one(tmp_path / "v.npy", tiny_generator, tmp_path, space="w")


def test_hostile_directions_are_refused() -> None:
    with pytest.raises(CheckpointError, match="not on the list"):
        read_foreign_directions(GOLDEN / "hostile" / "ganspace_direction.pkl")

"""Tuned generators: stored, read back, and drawn with wherever codes are drawn or edited."""

from __future__ import annotations

import dataclasses
import gc
import math
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from ganvert import cli, tables
from ganvert.base.errors import CheckpointError, TableError
from ganvert.checkpoints.weights import read_weights
from ganvert.codes import Code, codes_of_inversion, read_codes, tuned_folder, write_codes
from ganvert.compute.random import normal
from ganvert.directions import Direction, load_directions
from ganvert.directions.base import save_directions
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.render import draw_edit
from ganvert.generators import Generator, load_generator
from ganvert.generators import tuned as tuning
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_png, to_pil, to_png
from ganvert.inversion.presets import Context, Inversion, read_preset
from ganvert.spaces import make_space, prior
from stages import align, edit, evaluate, presets
from stages import invert as invert_stage

#: tuned three times: b and d share a generator, c has the generator as it is
IDS = ["a", "b", "c", "d"]
PRESET = read_preset(
    "mine", {"inverter": "optimise", "space": "wplus", "steps": 1, "lr": 0.1, "objective": [{"loss": "mse"}]}
)


def deltas(generator: Generator, seed: int) -> dict[str, Tensor]:
    """As large as a few hundred steps of pivotal tuning make them: a few hundredths of the weights."""
    source = torch.Generator().manual_seed(seed)
    return {
        name: 0.02 * float(value.abs().mean()) * torch.randn(value.shape, generator=source)
        for name, value in generator.named_parameters()
        if not name.startswith("mapping")
    }


def inversion(generator: Generator, weights: Sequence[dict[str, Tensor]], space: str = "wplus") -> Inversion:
    n = len(weights)
    codes = make_space(space, generator).from_random(range(n))
    nothing = torch.zeros(n, dtype=torch.long)
    return Inversion(space, codes, [], torch.zeros(n, 1), nothing, ["ok"] * n, [""] * n, list(weights))


@pytest.fixture(scope="module")
def four(tiny_generator: MobileStyleGAN) -> Inversion:
    shared = deltas(tiny_generator, 2)
    return inversion(tiny_generator, [deltas(tiny_generator, 1), shared, {}, shared])


@pytest.fixture
def table(four: Inversion, tiny_generator: MobileStyleGAN, tmp_path: Path) -> Path:
    return written(tmp_path / "codes" / "mine.parquet", four, tiny_generator)


def written(path: Path, found: Inversion, generator: Generator) -> Path:
    n = len(found.status)
    preset = dataclasses.replace(PRESET, options=dataclasses.replace(PRESET.options, space=found.space))
    write_codes(path, preset, found, IDS[:n], range(n), Context(generator=generator))
    return path


def files_of(path: Path) -> set[str]:
    return {file.name for file in tuned_folder(path).iterdir()}


# --- applying


def test_apply_adds_to_the_named_tensors_of_a_copy(tiny_generator: MobileStyleGAN) -> None:
    before = {name: value.clone() for name, value in tiny_generator.state_dict().items()}
    weights = {"const": torch.full_like(tiny_generator.const, 0.5), "to_img.bias": torch.arange(12.0)}
    tuned = tuning.apply(tiny_generator, weights)
    for name, value in tuned.state_dict().items():
        assert torch.equal(value, before[name] + weights.get(name, 0)), name
        assert torch.equal(tiny_generator.state_dict()[name], before[name]), name
        assert value.data_ptr() != tiny_generator.state_dict()[name].data_ptr()
    assert not tuned.training and not any(value.requires_grad for value in tuned.parameters())
    assert tuned.untuned is tiny_generator and tiny_generator.untuned is None
    assert tiny_generator not in set(tuned.modules())
    assert tuned.fingerprint() != tiny_generator.fingerprint()


def test_what_is_of_another_generator_is_refused(tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(CheckpointError, match=r"mobile_stylegan has no parameter 'synthesis\.b4\.const'"):
        tuning.apply(tiny_generator, {"synthesis.b4.const": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"to_img.bias: wanted shape \[12\], got \[3\]"):
        tuning.apply(tiny_generator, {"to_img.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="has no parameter 'w_avg'"):  # a buffer
        tuning.apply(tiny_generator, {"w_avg": torch.zeros(16)})
    with pytest.raises(CheckpointError, match="wanted the original generator"):
        tuning.apply(tuning.apply(tiny_generator, {}), {})


def test_compact_tells_half_precision_where_it_goes() -> None:
    weights = {
        "small": torch.tensor([1.0, 1 + 2**-11 + 2**-20, -3e-5]),
        "large": torch.tensor([1e5, 1e-9]),
        "zero": torch.zeros(2, 2),
        "below": torch.full((2,), 1e-9),  # less than half of the smallest float16
    }
    kept = tuning.compact(weights)
    assert {name: value.dtype for name, value in kept.items()} == {"small": torch.float16, "large": torch.float32}
    assert kept["small"].tolist() == [1, 1 + 2**-10, pytest.approx(-3e-5, rel=2**-9)]
    assert torch.equal(kept["large"], weights["large"])
    again = tuning.compact(kept)
    assert all(torch.equal(again[name], value) and again[name].dtype == value.dtype for name, value in kept.items())
    for bad in (math.nan, math.inf):
        with pytest.raises(CheckpointError, match="small: wanted finite numbers"):
            tuning.compact({"small": torch.tensor([0.0, bad])})


def test_half_precision_of_the_difference_cannot_be_seen(tiny_generator: MobileStyleGAN) -> None:
    """Measured, root mean square of pictures about [-1, 1]: 0.44 through tuning, 8e-5 of it through rounding."""
    ws = tiny_generator.map(normal(range(8), (16,)))
    weights = deltas(tiny_generator, 1)
    exact, rounded = (
        tuning.apply(tiny_generator, deltas).synthesize(ws=ws) for deltas in (weights, tuning.compact(weights))
    )
    change = (exact - tiny_generator.synthesize(ws=ws)).square().mean().sqrt()
    error = (exact - rounded).square().mean().sqrt()
    assert change > 0.1
    assert error < 1 / 255 / 20  # a twentieth of a grey level
    assert error < change / 1000


# --- files


def test_files_are_named_by_content_and_come_back_exactly(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    weights = {**deltas(tiny_generator, 1), "to_img.bias": torch.full((12,), 1e5)}
    path = tuning.save(tmp_path, weights, "f" * 64)
    assert path.parent == tmp_path and len(path.stem) == 32
    content = path.read_bytes()
    back, want = tuning.load(path, "f" * 64), tuning.compact(weights)
    assert back.keys() == want.keys()
    assert all(torch.equal(back[name], want[name]) and back[name].dtype == want[name].dtype for name in want)
    assert read_weights(path)[1] == {"kind": "ganvert/tuned", "generator": "f" * 64}

    turned = dict(reversed(weights.items()))
    assert tuning.save(tmp_path, turned, "f" * 64) == path and path.read_bytes() == content
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - header == 2 * sum(value.numel() for value in weights.values()) + 2 * 12
    weights["const"][0, 0, 0, 0] += 0.01
    assert tuning.save(tmp_path, weights, "f" * 64) != path
    assert len(list(tmp_path.iterdir())) == 2


def test_files_that_cannot_be_right(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    path = tuning.save(tmp_path, deltas(tiny_generator, 1), "f" * 64)
    with pytest.raises(CheckpointError, match="of generator ffffffffffff, not of 000000000000; invert again"):
        tuning.load(path, "0" * 64)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="so it is damaged; invert again"):
        tuning.load(path, "f" * 64)
    path.write_bytes(content[:100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        tuning.load(path, "f" * 64)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="wanted a file of kind ganvert/tuned, got None"):
        tuning.load(path, "f" * 64)

    for odd in (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2).to(torch.float8_e5m2), torch.tensor([0, 1])):
        save_file({"a": odd}, path, {"kind": "ganvert/tuned", "generator": "f" * 64})
        with pytest.raises(CheckpointError, match="a: wanted float16 or float32, got torch"):
            tuning.load(path, "f" * 64)
    save_file({"a": torch.tensor([float("nan")])}, path, {"kind": "ganvert/tuned", "generator": "f" * 64})
    with pytest.raises(CheckpointError, match="a: wanted finite numbers"):
        tuning.load(path, "f" * 64)


# --- codes


def test_fresh_and_stored_codes_draw_the_same_bits(
    four: Inversion, table: Path, tiny_generator: MobileStyleGAN
) -> None:
    fresh, stored = codes_of_inversion(four, IDS, "mine", tiny_generator), read_codes(table, tiny_generator)
    assert len(fresh) == len(stored) == len(four.weights)
    for i, weights in enumerate(four.weights):
        ws = four.variables["ws"][i : i + 1]
        own = tuning.apply(tiny_generator, tuning.compact(weights)).synthesize(ws=ws)
        for codes in (fresh, stored):
            assert torch.equal(codes[i].draw(), own)
            assert codes[i].space.generator.untuned is (tiny_generator if weights else None)
        assert torch.equal(own, tiny_generator.synthesize(ws=ws)) == (not weights)


def test_images_that_share_a_generator_share_a_file(table: Path) -> None:
    names = pq.read_table(table).column("tuned").to_pylist()
    assert names[1] == names[3] != names[0]
    assert names[2] is None
    assert files_of(table) == {names[0], names[1]}


def test_one_tuned_generator_is_in_memory_at_a_time(four: Inversion, tiny_generator: MobileStyleGAN) -> None:
    codes = codes_of_inversion(four, IDS, "mine", tiny_generator)
    held = list(codes)  # codes of single images do not keep their generators alive
    first = weakref.ref(held[0].space.generator)
    assert codes[0].space.generator is first()  # made once
    second = held[1].space.generator
    gc.collect()
    assert first() is None
    assert codes[3].space.generator is second  # the shared one
    assert codes[2].space.generator is tiny_generator


def test_a_second_run_leaves_no_file_of_the_first(table: Path, four: Inversion, tiny_generator: MobileStyleGAN) -> None:
    before = {file.name: file.read_bytes() for file in tuned_folder(table).iterdir()}
    written(table, four, tiny_generator)
    assert {file.name: file.read_bytes() for file in tuned_folder(table).iterdir()} == before
    written(table, four.select(1), tiny_generator)
    assert files_of(table) == {pq.read_table(table).column("tuned").to_pylist()[0]} < before.keys()
    written(table, dataclasses.replace(four, weights=[]), tiny_generator)
    assert files_of(table) == set()
    assert {code.tuned for code in read_codes(table, tiny_generator)} == {None}


def test_weights_that_are_zero_need_no_file(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    found = inversion(tiny_generator, [{"const": torch.zeros_like(tiny_generator.const)}])
    path = written(tmp_path / "mine.parquet", found, tiny_generator)
    assert pq.read_table(path).column("tuned").to_pylist() == [None]
    fresh = codes_of_inversion(found, ["a"], "mine", tiny_generator)
    assert torch.equal(fresh[0].draw(), read_codes(path, tiny_generator)[0].draw())


def test_missing_and_foreign_files_are_named(table: Path, four: Inversion, tiny_generator: MobileStyleGAN) -> None:
    first, second = pq.read_table(table).column("tuned").to_pylist()[:2]
    other = tuning.apply(tiny_generator, {"const": torch.ones_like(tiny_generator.const)})
    vars(other)["untuned"] = None  # another generator of the same sizes
    with pytest.raises(TableError, match="invert again with this generator"):
        read_codes(table, other)
    # The table says the right generator, but the file in the folder is another one's.
    path = tuned_folder(table) / first
    content = path.read_bytes()
    tuning.save(path.parent, four.weights[0], other.fingerprint())
    codes = read_codes(table, tiny_generator)
    codes[1].draw()
    with pytest.raises(CheckpointError, match=f"{first}: tuned weights of generator {other.fingerprint()[:12]}"):
        codes[0].draw()
    path.write_bytes(content)
    (tuned_folder(table) / second).unlink()
    with pytest.raises(TableError, match=f"image b needs the tuned weights '{second}' .*`dvc checkout`.* invert again"):
        read_codes(table, tiny_generator)
    # Only names that this code writes are opened.
    data = pq.read_table(table)
    outside = pa.array(["../mine.parquet", None, None, None])
    data = data.set_column(data.column_names.index("tuned"), data.schema.field("tuned"), outside)
    pq.write_table(data, table)
    with pytest.raises(TableError, match=r"image a needs the tuned weights '../mine.parquet'"):
        read_codes(table, tiny_generator)


def test_tables_from_before_there_was_tuning_are_refused(table: Path, tiny_generator: MobileStyleGAN) -> None:
    data = pq.read_table(table).drop(["tuned"])
    pq.write_table(data.replace_schema_metadata({**data.schema.metadata, b"version": b"1"}), table)
    with pytest.raises(TableError, match="wanted version 2 of table 'codes', got 1; run `dvc repro`"):
        read_codes(table, tiny_generator)


def test_whitened_codes_keep_the_statistics_of_the_original(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inversion(tiny_generator, [deltas(tiny_generator, 1)], "pnplus")
    path = written(tmp_path / "mine.parquet", found, tiny_generator)
    known = prior.prior(tiny_generator)

    def never(*_: Any) -> None:
        raise AssertionError("a million samples again")

    monkeypatch.setattr(prior, "_moments", never)
    code = read_codes(path, tiny_generator)[0]
    tuned = code.space.generator
    assert tuned is not tiny_generator and prior.prior(tuned) is known
    ws = known.colour(found.variables["v"])
    assert torch.equal(code.draw(), tuned.synthesize(ws=ws))


# --- work, edits, commands


@pytest.fixture
def direction(tiny_generator: MobileStyleGAN) -> Direction:
    vector = np.eye(16)[3]
    return Direction("ganspace_1", "w", "test", vector, 1.0, 0, tiny_generator.num_ws)


def test_edits_are_drawn_by_the_tuned_generator(
    four: Inversion, table: Path, tiny_generator: MobileStyleGAN, direction: Direction
) -> None:
    plain = codes_of_inversion(dataclasses.replace(four, weights=[]), IDS, "mine", tiny_generator)
    for codes in (codes_of_inversion(four, IDS, "mine", tiny_generator), read_codes(table, tiny_generator)):
        still, moved = (shifted(codes[0], direction, amount) for amount in (0.0, 1.5))
        assert same(still, to_pil(codes[0].draw())[0])
        assert not same(still, shifted(plain[0], direction, 0.0))
        ws = four.variables["ws"][:1] + 1.5 * torch.from_numpy(direction.vector).float()
        own = tuning.apply(tiny_generator, tuning.compact(four.weights[0])).synthesize(ws=ws)
        assert same(moved, to_pil(own)[0])
        assert not same(moved, still)


def shifted(code: Code, direction: Direction, amount: float) -> Image.Image:
    return draw_edit(EDITS["shift"], EditInputs(code=code, directions=[(direction, 1.0)]), amount)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.tobytes()


def tuned_options() -> dict[str, Any]:
    mse = {"loss": "mse", "resolution": 64}
    start = {"inverter": "optimise", "space": "wplus", "init": "mean", "steps": 1, "lr": 0.05, "objective": [mse]}
    tune = {"inverter": "tune", "steps": 3, "lr": 0.01, "objective": [mse]}
    return {"tuned": {"inverter": "chain", "stages": [start, tune]}, "plain": start}


@pytest.fixture
def project(
    tiny_generator: MobileStyleGAN,
    tiny_generator_file: Path,
    direction: Direction,
    tmp_path: Path,
    write_params: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with two small photographs and a direction."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/photos").mkdir(parents=True)
    for name, step in (("waves", 9), ("ripples", 5)):
        waves = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / step)[..., None] * [1, 0.5, -0.7]
        Image.fromarray(waves.astype(np.uint8)).save(tmp_path / f"data/photos/{name}.png")
    save_directions(
        tmp_path / "data/directions.parquet", [direction], {"generator": tiny_generator.fingerprint(), "params": "{}"}
    )
    path, spec = str(tiny_generator_file), {"direction": "ganspace_1", "amounts": [0, 2], "pasted": [2]}
    write_params(
        generator={"path": path, "label": None},
        device="cpu",
        align={"recipe": "center", "photos": ["data/photos"], "resolution": None},
        invert={"methods": {"tuned": path, "plain": path}, "options": tuned_options()},
        discover={"methods": {"ganspace": {"components": 2}}},
        edit={"method": "tuned", "edits": {"ganspace_1": spec}},
        evaluate={"metrics": ["mse_64"], "attributes": []},
    )
    return tmp_path


def invert(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["invert", method])
    invert_stage.main()


@pytest.mark.slow
def test_stages_store_and_draw_tuned_generators(
    project: Path, tiny_generator_file: Path, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    align.main()
    presets.main()
    for method in ("tuned", "plain"):
        invert(method, monkeypatch)
    assert files_of(Path("data/codes/plain.parquet")) == {".keep"}
    assert len(files_of(Path("data/codes/tuned.parquet"))) == 3
    edit.main()
    evaluate.main()

    codes = read_codes(Path("data/codes/tuned.parquet"), load_generator(tiny_generator_file))
    drawn = pq.read_table("data/reconstructions/tuned.parquet").to_pylist()
    edits = {(row["image_id"], row["amount"]): row for row in pq.read_table("data/edits.parquet").to_pylist()}
    for i, row in enumerate(drawn):
        code = codes[i]
        assert code.space.generator.untuned is not None
        assert row["png"] == to_png(to_pil(code.draw())[0])
        assert edits[row["image_id"], 0.0]["crop"] == row["png"]
        moved = from_png(edits[row["image_id"], 2.0]["crop"])
        assert same(moved, shifted(code, direction, 2.0))
    scores = pq.read_table("data/scores.parquet").to_pylist()
    values = {(row["method"], row["image_id"]): row["value"] for row in scores}
    assert all(values["tuned", name] < values["plain", name] for name in codes.image_ids)


def test_commands_draw_with_the_tuned_generator(
    project: Path, assets: Path, tiny_generator_file: Path, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANVERT_ASSETS", str(assets))

    def run(*arguments: str) -> None:
        options = ["--generator", str(tiny_generator_file), "--recipe", "center", "--method", "tuned"]
        done = CliRunner().invoke(cli.app, [*arguments, *options, "--device", "cpu"])
        assert done.exit_code == 0, done.output

    run("invert", "data/photos/waves.png", "--out", "out")
    (code,) = read_codes(Path("out/codes.parquet"), load_generator(tiny_generator_file))
    assert len(files_of(Path("out/codes.parquet"))) == 1
    assert code.space.generator.untuned is not None
    assert same(Image.open("out/waves_tuned.png"), to_pil(code.draw())[0])

    run("edit", "data/photos/waves.png", "--direction", "ganspace_1=2", "--crop", "--out", "edited.png")
    assert same(Image.open("edited.png"), shifted(code, direction, 2.0))
    assert load_directions(Path("data/directions.parquet")).keys() == {("ganspace_1", "w")}
    assert tables.read(Path("out/codes.parquet"), "codes").num_rows == 1

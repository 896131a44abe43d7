"""The edit stage: every kind of edit from params.yaml to the tables, and requests that stop it before any work."""

from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert import tables
from ganvert.base.errors import InputError, NoRegionError, UnsupportedError
from ganvert.codes import read_codes
from ganvert.compute.random import normal
from ganvert.directions import Direction, load_directions, save_directions
from ganvert.editing.compose import box_mask, crossover, diffusion, inpainting, invert_composed
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.editing.edits import EDITS, make_edit
from ganvert.editing.render import draw_edit
from ganvert.generators import load_generator
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_png, to_pil
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import make_context
from stages import align, edit, evaluate, invert, presets, report, stimuli
from stages.inputs import crops_of, find_images, mask_of
from stages.settings import check_for, load_settings

MSE = {"loss": "mse", "resolution": 64}
PAD = {"inverter": "optimise", "space": "pad/wplus", "init": "mean", "steps": 2, "lr": 0.2, "objective": [MSE]}
GENERATOR = "data/assets/mobile_stylegan.safetensors"
NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def project(
    tiny_generator: MobileStyleGAN,
    tiny_generator_file: Path,
    tmp_path: Path,
    write_params: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Three photographs inverted to padding codes; the function it gives writes params.yaml with some edits."""
    monkeypatch.chdir(tmp_path)
    Path("data/photos").mkdir(parents=True)
    for name, step in zip(NAMES, (9, 5, 14), strict=True):
        waves = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / step)[..., None] * [1, 0.5, -0.7]
        Image.fromarray(waves.astype(np.uint8)).save(f"data/photos/{name}")
    direction = Direction("ganspace_1", "w", "test", np.eye(16)[3], 1.0, 0, tiny_generator.num_ws)
    save_directions(Path("data/directions.parquet"), [direction], {"generator": tiny_generator.fingerprint()})
    path = str(tiny_generator_file)

    def write(edits: dict[str, Any], space: str = "pad/wplus", first: int = 3, **stimuli: Any) -> None:
        write_params(
            generator={"path": path, "label": None},
            device="cpu",
            align={"recipe": "center", "photos": ["data/photos"], "resolution": None},
            invert={"methods": {"mine": path}, "first": {"mine": first}, "options": {"mine": {**PAD, "space": space}}},
            discover={"methods": {"ganspace": {"components": 2}}},
            edit={"method": "mine", "edits": edits},
            stimuli={"sets": stimuli},
            evaluate={"metrics": ["mse_64"], "attributes": []},
        )

    write({})
    monkeypatch.setattr(sys, "argv", ["invert", "mine"])
    presets.main()
    align.main()
    invert.main()
    return write


def test_a_method_may_invert_the_first_crops_alone(project: Any) -> None:
    codes = Path("data/codes/mine.parquet")
    order = tables.read(Path("data/aligned.parquet"), tables.ALIGNED)["image_id"].to_pylist()
    for count in (1, 2):
        project({}, first=count)
        invert.main()
        assert tables.read(codes, "codes")["image_id"].to_pylist() == order[:count]


@pytest.mark.slow
def test_every_kind_of_edit_reaches_tables_and_report(project: Any, tiny_generator_file: Path) -> None:
    project(
        {
            "forth": {"direction": "ganspace_1", "amounts": [-2, 2], "pasted": [2]},
            "exact": {"direction": "ganspace_1", "amounts": [2], "edit": "geodesic"},
            "mixed": {"edit": "blend", "references": ["b.png", "data/photos/c.png"]},
            "half": {"edit": "interpolate", "references": ["b.png"], "amounts": [0.5], "options": {"part": "own"}},
            "pair": {"edit": "transfer", "references": ["a.png", "b.png"], "amounts": [1, -1], "pasted": [1]},
        }
    )
    edit.main()
    codes = read_codes(Path("data/codes/mine.parquet"), load_generator(tiny_generator_file))
    images = {code.image_id: code for code in codes}
    a, b, c = find_images(NAMES)
    rows = tables.read(edit.OUT, tables.EDITS).to_pylist()
    assert len(rows) == 3 * (2 + 1 + 2 + 1 + 2)
    assert {(row["edit"], row["kind"], row["direction"], row["reference"]) for row in rows} == {
        ("forth", "shift", "ganspace_1", ""),
        ("exact", "geodesic", "ganspace_1", ""),
        ("mixed", "blend", "", b),
        ("mixed", "blend", "", c),
        ("half", "interpolate", "", b),
        ("pair", "transfer", "", f"{a},{b}"),
    }
    for row in rows:
        inputs = EditInputs(code=images[row["image_id"]])
        if row["reference"]:
            inputs = dataclasses.replace(inputs, references=[images[name] for name in row["reference"].split(",")])
            options = {"part": "own"} if row["edit"] == "half" else {}
            drawn = draw_edit(make_edit(row["kind"], options), inputs, row["amount"])
            assert from_png(row["crop"]).tobytes() == drawn.tobytes(), row["edit"]
        assert (row["pasted"] is not None) == ((row["edit"], row["amount"]) in {("forth", 2.0), ("pair", 1.0)})

    evaluate.main()
    assert tables.read(evaluate.EDIT_SCORES, tables.EDIT_SCORES).num_rows == 0  # nothing measures edits here
    report.main()
    page = report.OUT.read_text()
    for label in ("forth (ganspace_1)", "mixed (data/photos/b.png)", "pair (data/photos/a.png, data/photos/b.png)"):
        assert label in page, label


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"edit": "blend", "references": ["bb.png"]}, "there is no 'bb.png'. Did you mean 'b.png'"),
        ({"edit": "blend"}, "edit.edits.mine: edit blend: wanted 1 reference images"),
        (
            {"direction": "ganspace_9"},
            r"unknown direction in w \(edit.edits.mine.direction\) 'ganspace_9'; known: ganspace_0",
        ),
    ],
)
def test_requests_that_cannot_be_met_stop_before_any_work(project: Any, spec: dict[str, Any], message: str) -> None:
    project({"good": {"direction": "ganspace_1"}, "mine": spec})
    with pytest.raises(SystemExit, match=message):
        edit.main()
    assert not edit.OUT.exists()


def test_codes_of_one_part_are_refused_before_they_are_found(project: Any) -> None:
    project({"mine": {"edit": "blend", "references": ["b.png"]}}, space="wplus")
    with pytest.raises(SystemExit, match=r"edit\.edits\.mine: space 'wplus': its codes have one part only"):
        invert.main()


def test_composed_pictures_are_inverted_by_the_method_of_the_codes(project: Any, tiny_generator_file: Path) -> None:
    a, b = find_images(["a.png", "b.png"])
    Path("data/inputs/each").mkdir(parents=True)
    for image_id, columns in zip(find_images(NAMES), (10, 20, 30), strict=True):
        white = Image.new("L", (64, 64))
        white.paste(255, (0, 0, columns, 64))
        white.save(f"data/inputs/each/{image_id}.png")
    project(
        {
            "face": {"edit": "diffuse", "references": ["b.png"], "options": {"crop": 90, "around": 0.5}},
            "cross": {"edit": "crossover", "references": ["b.png"], "mask": "each", "options": {"blur": 0}},
            "hole": {"edit": "inpaint", "mask": "each", "amounts": [0, 1]},
        }
    )
    edit.main()
    rows = {(r["image_id"], r["edit"], r["amount"]): r for r in tables.read(edit.OUT, tables.EDITS).to_pylist()}
    assert len(rows) == 3 * (1 + 1 + 2)
    generator = load_generator(tiny_generator_file)
    preset = read_preset("mine", PAD)
    context = make_context(preset, generator, None, None)
    own, other = crops_of([a, b])
    masks = {image_id: mask_of("each", image_id, 64) for image_id in (a, b)}
    for name, composed in (
        ("face", diffusion(other, own, box_mask(64, 90), 0.5)),
        ("cross", crossover(other, own, masks[b], 0)),  # the mask of the image that is seen inside it
        ("hole", inpainting(own, masks[a])),
    ):
        expected = to_pil(invert_composed(composed, "any", preset, context).draw())[0]
        assert from_png(rows[a, name, 1.0]["crop"]).tobytes() == expected.tobytes(), name
    code = next(iter(read_codes(Path("data/codes/mine.parquet"), generator, image_ids=[a])))
    assert from_png(rows[a, "hole", 0.0]["crop"]).tobytes() == to_pil(code.draw())[0].tobytes()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"edit": "inpaint"}, "edit inpaint: wanted a mask; name a picture"),
        ({"edit": "inpaint", "mask": "none.png"}, "the objective names 'none.png', but there is no folder"),
        ({"edit": "diffuse"}, r"wanted 1 reference images \(target\), got 0"),
        ({"edit": "diffuse", "references": ["b.png"], "options": {"crop": 300}}, "wanted a square inside the picture"),
        ({"edit": "diffuse", "references": ["b.png"], "options": {"around": 2.0}}, "around: wanted 0 to 1"),
    ],
)
def test_compositions_that_cannot_be_made(project: Any, spec: dict[str, Any], message: str) -> None:
    project({"mine": spec})
    with pytest.raises(SystemExit, match=message):
        edit.main()


def test_compositions_need_a_method_that_fits_codes(
    write_params: Any, tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tune = {"inverter": "tune", "steps": 1, "lr": 0.1, "objective": [MSE]}
    write_params(
        invert={"methods": {"mine": GENERATOR}, "options": {"mine": {"inverter": "chain", "stages": [PAD, tune]}}},
        discover={"methods": {"ganspace": {"components": 2}}},
        edit={"method": "mine", "edits": {"hole": {"edit": "inpaint", "mask": "hair"}}},
        evaluate={"metrics": ["mse_64"], "attributes": []},
    )
    with pytest.raises(UnsupportedError, match=r"edit\.edits\.hole: method 'mine': tunes the generator"):
        check_for(tiny_generator, load_settings())


def test_names_that_mean_several_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    face = {"recipe": "center", "resolution": 64, "quad": np.zeros(8), "landmarks": None, "crop": b""}
    places = [("a-0", "x/1.jpg"), ("a-1", "x/1.jpg"), ("b-0", "y/1.jpg"), ("c-0", "y/2.jpg")]
    rows = [face | {"image_id": name, "photo_id": name, "path": path, "face": 0} for name, path in places]
    tables.write(Path("data/aligned.parquet"), tables.ALIGNED, rows)
    assert find_images(["2.jpg", "y/1.jpg", "a-1"]) == ["c-0", "b-0", "a-1"]
    for name, count in (("x/1.jpg", 2), ("1.jpg", 3)):
        with pytest.raises(InputError, match=f"'{name}' may be any of {count} faces; give the image id: a-0, a-1"):
            find_images([name])


#: The inputs that the toy was given.
SEEN: list[EditInputs] = []


@dataclasses.dataclass(frozen=True)
class Toy(Edit):
    """Needs everything there is."""

    @property
    def needs(self) -> Needs:
        return Needs(references=("context",), mask=True, pictures=True, context=True)

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        SEEN.append(inputs)
        return inputs.code.synthesis_input()


def test_the_stage_loads_what_an_edit_declares(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setitem(EDITS, "toy", Toy())
    Path("data/inputs/patches").mkdir(parents=True)
    for image_id in find_images(NAMES):
        Image.new("L", (64, 64), 255).save(f"data/inputs/patches/{image_id}.png")
    project({"mine": {"edit": "toy", "references": ["c.png"], "mask": "patches"}})
    edit.main()
    c = find_images(["c.png"])
    assert [inputs.code.image_id for inputs in SEEN] == find_images(NAMES)
    for inputs in SEEN:
        assert [code.image_id for code in inputs.references] == c
        assert inputs.mask is not None and torch.equal(inputs.mask, torch.ones(1, 1, 64, 64))
        assert inputs.context is not None and inputs.context.generator.resolution == 64
        assert inputs.preset is not None and inputs.preset.name == "mine"
        assert inputs.picture is not None and inputs.picture.size == inputs.reference_pictures[0].size == (64, 64)


def test_percentiles_and_masks_reach_the_table(project: Any, tiny_generator_file: Path) -> None:
    """The amount of a percentile is each image's own; outside of its mask a local edit changes nothing."""
    Path("data/inputs").mkdir(parents=True)
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    Image.fromarray(half).save("data/inputs/left.png")
    options = {"point": 32, "grow": 0, "feather": 0}
    local = {"edit": "local", "direction": "ganspace_1", "mask": "left.png", "options": options}
    project({"whole": {"direction": "ganspace_1", "amounts": ["p90", 1]}, "here": {**local, "amounts": [3]}})
    edit.main()
    rows = tables.read(edit.OUT, tables.EDITS).to_pylist()
    generator = load_generator(tiny_generator_file)
    codes = {code.image_id: code for code in read_codes(Path("data/codes/mine.parquet"), generator)}
    samples = generator.map_to_w(normal(range(2000), (16,)))[:, 3].double().numpy()
    for row in rows:
        code = codes[row["image_id"]]
        place = float(code.variables["ws"][0, :, 3].double().mean()) + row["amount"]
        assert row["sigmas"] == pytest.approx((place - samples.mean()) / samples.std(), rel=0.05, abs=0.1)
        assert row["percentile"] == (90 if row["edit"] == "whole" and row["amount"] != 1 else None)
        if row["percentile"]:
            assert np.mean(samples < place) == pytest.approx(0.9, abs=0.02)
        if row["edit"] == "here":
            change = np.abs(np.asarray(from_png(row["crop"]), int) - np.asarray(to_pil(code.draw())[0], int))
            assert change[:, 48:].max() <= 1 < change[:, :32].max()
    assert len({row["amount"] for row in rows if row["percentile"]}) == 3


def test_a_face_without_the_region_is_left_out_and_the_others_go_on(
    project: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a, *others = find_images(NAMES)

    def mask_of(name: str, image_id: str, resolution: int) -> torch.Tensor:
        if image_id == a:
            raise NoRegionError(f"{a}: mask 'hat': the picture shows none of it (hat)")
        return torch.ones(1, 1, resolution, resolution)

    monkeypatch.setattr(edit, "mask_of", mask_of)
    project({"hat": {"edit": "local", "direction": "ganspace_1", "mask": "hat"}})
    with caplog.at_level("WARNING"):
        edit.main()
    assert f"hat of {a} was left out" in caplog.text
    assert tables.read(edit.OUT, tables.EDITS).column("image_id").to_pylist() == others


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"direction": "ganspace_1", "amounts": ["p101"]}, "wanted a percentile from p0 to p100"),
        ({"direction": "ganspace_1", "amounts": ["much"]}, "a percentile such as p90"),
        ({"edit": "blend", "references": ["b.png"], "amounts": ["p90"]}, "p90 is of samples along a direction"),
        ({"edit": "local", "direction": "ganspace_1"}, "wanted a mask"),
        ({"edit": "local", "direction": "ganspace_1", "mask": "mout"}, "regions of faces are"),
        (
            {"edit": "local", "direction": "ganspace_1", "mask": "mouth", "options": {"point": 33}},
            "point 33: mobile_stylegan has no such feature map",
        ),
    ],
)
def test_amounts_and_masks_that_do_not_fit_stop_the_stage(project: Any, spec: dict[str, Any], message: str) -> None:
    project({"mine": spec})
    Path("data/inputs").mkdir(parents=True, exist_ok=True)
    with pytest.raises(SystemExit, match=message):
        edit.main()


def test_stimuli_of_the_run_are_a_folder_for_each_set(
    project: Any, tiny_generator_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = {"directions": {"ganspace_1@0:2": [-1, "p90"]}, "size": 48}
    sets = {"near": near, "far": {"directions": {"ganspace_1": [3]}}}
    project({}, **sets)
    monkeypatch.setattr(sys, "argv", ["stimuli", "near"])
    stimuli.main()
    assert [path.name for path in stimuli.OUT.iterdir()] == ["near"]
    with (stimuli.OUT / "near/stimuli.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        f"{name}_ganspace_1@0-2_{how}.png" for name in "abc" for how in ("-1", "p90")
    ]
    assert {row["direction"] for row in rows} == {"ganspace_1@0:2"}
    codes = {
        code.image_id: code for code in read_codes(Path("data/codes/mine.parquet"), load_generator(tiny_generator_file))
    }
    direction = dataclasses.replace(load_directions(edit.DIRECTIONS)["ganspace_1", "w"], last_row=2)
    for row in rows:
        inputs = EditInputs(code=codes[row["image_id"]], directions=[(direction, 1.0)])
        drawn = draw_edit(make_edit("shift"), inputs, float(row["amount"])).resize((48, 48), Image.Resampling.LANCZOS)
        with Image.open(stimuli.OUT / "near" / row["file"]) as picture:
            assert np.abs(np.asarray(picture, int) - np.asarray(drawn, int)).max() <= 1  # the amount is rounded there
    assert all((stimuli.OUT / "near" / name).is_file() for name in ("methods.txt", "sheet.png"))
    project({}, near=sets["far"], far={"directions": {"ganspace_9": [1]}})
    with pytest.raises(SystemExit, match=r"unknown direction in w \(stimuli.sets.far\) 'ganspace_9'"):
        stimuli.main()

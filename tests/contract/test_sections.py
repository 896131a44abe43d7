"""What every section of a study promises, on a small study from end to end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.extraction import Invert
from ganvert.faces import AlignOptions
from ganvert.generators import load_generator
from ganvert.report.study import read_study, write_study
from ganvert.report.study.write import study_page
from ganvert.study import SECTIONS, Study, StudyOptions, run_study
from ganvert.study import run as run_module
from ganvert.study.run import partners
from ganvert.study.sections.base import Piece
from ganvert.study.sections.padding import KINDS

pytestmark = pytest.mark.slow

PHOTOS = 3
SMALL = {
    "reconstruction": {},
    "strength": {"attributes": [], "components": [1], "steps": 3, "samples": 60, "methods": ["w", "masked"]},
    "out_of_range": {"translations": [256], "rotations": [], "scales": [0.8], "methods": ["w"], "photos": 2},
    "in_domain": {"amounts": [0.5], "attributes": ["ganspace_1"], "samples": 4, "methods": ["w", "masked"]},
    "padding": {"methods": ["w", "padded"]},
    "consistency": {"attributes": ["ganspace_1"], "most_steps": 2, "samples": 60},
}


@pytest.fixture(scope="module")
def study(tiny_generator_file: Path, tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Study:
    """Three photographs and a broken one; methods of W, Z and padding, one that lacks a photograph's mask, one without
    weights."""
    root = tmp_path_factory.mktemp("study")
    (root / "photos").mkdir()
    (root / "inputs" / "masks").mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for i in range(PHOTOS):
        picture = Image.fromarray(numbers.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture.resize((70, 80)).save(root / "photos" / f"{i}.png")
    (root / "photos" / "bad.png").write_bytes(b"no picture")
    loss = {"loss": "mse", "resolution": None}
    raw = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 2, "lr": 0.05, "objective": [loss]}
    masked = {**raw, "objective": [{**loss, "mask": "masks"}]}
    presets = {
        "w": raw,
        "z": {**raw, "space": "z", "init": "random"},
        "masked": masked,
        "padded": {**raw, "space": "pad/w"},
    }
    common = {"generator": str(tiny_generator_file), "inputs": str(root / "inputs")}
    made = Study(
        options=StudyOptions(
            photos=(str(root / "photos"),),
            methods=(*presets, "gone"),
            seeds=2,
            metrics=("mse_64", "psnr_64"),
            code_metrics=("frechet_vgg16_2",),
            shown=1,
            sections=SMALL,
        ),
        inverts=[*(Invert(method=name, preset=preset, **common) for name, preset in presets.items()), ("gone", "none")],
        align=AlignOptions(recipe="center", resolution=64),
        generator=load_generator(tiny_generator_file),
        assets=assets,
        attributes=(),
        device="cpu",
        threads=1,
        work=root / "work",
        pieces=root / "pieces",
        folder=root / "tables",
    )
    for row in made.aligned[1:]:  # the first photograph has no mask
        Image.new("RGB", (64, 64), "white").save(root / "inputs" / "masks" / f"{row['image_id']}.png")
    return made


@pytest.fixture(scope="module")
def paths(study: Study) -> dict[str, Path]:
    return run_study(study)


@pytest.fixture(scope="module")
def rows(paths: dict[str, Path]) -> list[dict]:
    return tables.read(paths["study_scores"], tables.STUDY_SCORES).to_pylist()


def test_the_study_has_every_section() -> None:
    assert set(SMALL) == set(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_cell_has_a_row_that_says_whether_there_is_a_code(section: str, rows: list[dict], study: Study) -> None:
    options = study.options.section_options()[section]
    methods = options.methods or study.options.methods
    codes = [row for row in rows if row["section"] == section and row["metric"] == "code"]
    seeds = 2 if SECTIONS[section].seeds else 1
    variants = len(SECTIONS[section].crops(options))
    count = sum(seeds if method == "z" else 1 for method in methods)
    assert len(codes) == count * variants * min(options.photos or PHOTOS, PHOTOS)
    assert all((row["status"] == "ok") == (row["value"] == 1.0) for row in codes)


@pytest.mark.parametrize("section", SECTIONS)
def test_values_are_finite_or_have_a_status(section: str, rows: list[dict]) -> None:
    of_section = [row for row in rows if row["section"] == section]
    assert {row["metric"] for row in of_section} > {"code"}
    for row in of_section:
        assert (row["value"] is None) == (row["status"] != "ok"), row
        assert row["value"] is None or math.isfinite(row["value"])


def test_a_second_run_measures_nothing_and_writes_the_same(
    study: Study, paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    for name, section in list(SECTIONS.items()):
        monkeypatch.setitem(SECTIONS, name, dataclasses.replace(section, measure=named_like(name, fail)))
    again = run_study(dataclasses.replace(study, folder=tmp_path))
    for name in ("study_scores", "study_summary"):
        assert pq.read_table(again[name]).equals(pq.read_table(paths[name]))


def named_like(section: str, function: Callable[..., None]) -> Callable[..., Piece]:
    """A function that seems to stand where the section's own does: its module is part of the key."""

    def same(*values: object) -> Piece:
        function(*values)
        raise AssertionError

    same.__module__ = SECTIONS[section].measure.__module__
    return same


def test_failures_are_rows_and_the_rest_goes_on(rows: list[dict], study: Study, paths: dict[str, Path]) -> None:
    codes = {
        (row["method"], row["image_id"]): row
        for row in rows
        if row["section"] == "reconstruction" and row["metric"] == "code" and row["seed"] == 0
    }
    first, *others = (row["image_id"] for row in study.aligned)
    assert (
        codes["masked", first]["status"] == "failed" and "there is no such picture" in codes["masked", first]["reason"]
    )
    assert all(codes["masked", image_id]["status"] == "ok" for image_id in others)
    assert codes["gone", first]["status"] == "unavailable" and codes["gone", first]["reason"] == "none"
    summary = {
        (row["method"], row["metric"]): row
        for row in tables.read(paths["study_summary"], tables.STUDY_SUMMARY).to_pylist()
        if row["section"] == "reconstruction"
    }
    assert [summary["masked", "mse_64"][name] for name in ("count", "missing")] == [2, 1]
    assert [summary["w", "mse_64"][name] for name in ("count", "missing")] == [3, 0]
    assert summary["gone", "code"]["missing"] == 3
    assert summary["w", "frechet_vgg16_2"]["mean"] == 0.0  # its generator is as it was
    photos = tables.read(paths["photos"], tables.PHOTOS).to_pylist()
    assert [row["status"] for row in photos].count("unreadable") == 1


def test_seeds_of_a_photograph_are_averaged_first(rows: list[dict], paths: dict[str, Path]) -> None:
    of_z = [row for row in rows if (row["section"], row["method"], row["metric"]) == ("reconstruction", "z", "mse_64")]
    assert len(of_z) == 2 * PHOTOS and len({row["value"] for row in of_z}) == len(of_z)
    summary = next(
        row
        for row in tables.read(paths["study_summary"], tables.STUDY_SUMMARY).to_pylist()
        if (row["section"], row["method"], row["metric"]) == ("reconstruction", "z", "mse_64")
    )
    assert summary["count"] == PHOTOS
    assert summary["mean"] == pytest.approx(np.mean([row["value"] for row in of_z]))


def test_edits_move_and_amount_zero_is_the_reconstruction(rows: list[dict], paths: dict[str, Path]) -> None:
    made = tables.read(paths["study_pictures"], tables.STUDY_PICTURES).to_pylist()
    of_w = {row["amount"]: row["png"] for row in made if (row["section"], row["variant"]) == ("strength", "ganspace_1")}
    assert set(of_w) == {-2.0, 2.0} and of_w[-2.0] != of_w[2.0]


def test_parts_of_codes_go_to_the_partner(rows: list[dict]) -> None:
    of_padding = [row for row in rows if row["section"] == "padding"]
    amounts = SECTIONS["padding"].options().amounts
    drawn = {(row["method"], row["variant"], row["amount"]) for row in of_padding if row["metric"] == "colour"}
    assert drawn == {(m, v, a) for m, v in (("w", "both"), *(("padded", v) for v in KINDS)) for a in amounts}
    there = [row["value"] for row in of_padding if (row["variant"], row["metric"]) == ("both", "partner_colour")]
    assert [value for value in there if value == 0] == [0.0] * 2 * PHOTOS  # at amount 1 it is the partner's own
    missing = [row for row in of_padding if row["metric"] == "picture"]
    assert len(missing) == 2 * len(amounts) * PHOTOS
    assert all(row["status"] == "not_drawn" and "one part only" in row["reason"] for row in missing)


def test_a_partner_without_a_code_is_none(rows: list[dict], study: Study) -> None:
    ids = [row["image_id"] for row in study.aligned]
    before_the_first = next(image_id for image_id, other in partners(ids).items() if other == ids[0])
    of_pairs = [row for row in rows if row["section"] == "in_domain" and row["variant"] == "interpolation"]
    lonely = [(row["method"], row["image_id"]) for row in of_pairs if row["status"] == "no_partner"]
    assert lonely == [("masked", before_the_first)]
    found = [row for row in of_pairs if row["metric"] == "frechet_vgg16_4"]
    assert {(row["method"], row["image_id"]) for row in found} == {("w", image_id) for image_id in ids}  # 2 are too few


def test_the_page_is_whole_and_says_what_is_missing(paths: dict[str, Path], tmp_path: Path) -> None:
    page = write_study(paths, tmp_path)
    text = page.read_text()
    assert "http://" not in text and "https://" not in text
    for wanted in (
        "there is no such picture",
        "unavailable",
        "2 of 3",
        "Methods that the papers name",
        "bad.png",
    ):
        assert wanted in text, wanted
    assert study_page(read_study(paths), "Study of inversion methods") == text
    assert (tmp_path / "reconstruction.csv").read_text().startswith("method,MSE 64")
    assert r"\begin{tabular}" in (tmp_path / "reconstruction.tex").read_text()
    assert (tmp_path / "strip_reconstruction.png").is_file()


def test_files_of_earlier_options_go_and_all_others_stay(study: Study, paths: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_study(paths, out)
    whole = {path.name for path in out.iterdir()}
    changed = out / "consistency.csv"
    changed.write_text("my own numbers")
    (out / "strip_mine.png").write_bytes(b"mine")
    (out / "strip_folder.png").mkdir()
    smaller = dataclasses.replace(study.options, sections={"reconstruction": {}, "padding": {"methods": ["w"]}})
    write_study(run_study(dataclasses.replace(study, options=smaller, folder=tmp_path / "small")), out)
    write_study(run_study(dataclasses.replace(study, options=smaller, folder=tmp_path / "small")), tmp_path / "alone")
    left = {path.name for path in out.iterdir()}
    assert left == {path.name for path in (tmp_path / "alone").iterdir()} | {
        "consistency.csv", "strip_mine.png", "strip_folder.png"
    }  # fmt: skip
    assert len(whole - left) > 4 and changed.read_text() == "my own numbers"
    write_study(paths, out)
    assert {path.name for path in out.iterdir()} == whole | {"strip_mine.png", "strip_folder.png"}


def test_a_protocol_wants_its_pictures(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dataclasses.replace(study.options, protocol="celebahq2824")
    with pytest.raises(InputError, match="2,824"):
        run_module.align_photographs(dataclasses.replace(study, options=options, folder=tmp_path))

"""The whole pipeline on a tiny setting: real photographs, the real generator, `dvc repro` in a copy of the project."""

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest
import yaml

from ganvert.codes import read_codes
from ganvert.generators import load_generator
from ganvert.images import from_png
from ganvert.studio.changes import Changes
from ganvert.studio.models import Found, Models
from ganvert.studio.session import Session

ROOT = Path(__file__).parents[2]
TINY = {
    "align": {"photos": ["data/photos"]},
    "sample": {"check": 1, "sheet": 2},
    # From scratch: the pipeline is tried, not the weights.
    "train_encoder": {
        "encoders": {"wplus": "data/assets/mobile_stylegan.safetensors"},
        "options": {"wplus": {"extends": "wplus", "steps": 1, "batch": 2, "data": {"samples": 2, "validation": 1}}},
    },
    "invert": {
        "methods": {
            "encoder": "data/encoders/wplus.safetensors",
            "w": "data/assets/mobile_stylegan.safetensors",
        },
        "first": {"w": 1},
        "options": {"w": {"extends": "w", "steps": 3, "preview_steps": 2}},
    },
    "edit": {"method": "w", "edits": {"smile": {"direction": "smile", "amounts": [1], "pasted": [1]}}},
}


def run(*command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(cwd)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory, assets) -> Path:
    """A copy of the project with one photograph, one that is none, and the tiny setting."""
    folder = tmp_path_factory.mktemp("project") / "ganvert"
    skip = shutil.ignore_patterns(".git", ".venv", ".work", "cache", "tmp", "__pycache__", "*.parquet.tmp", "reports")
    folder.mkdir()
    for name in ("ganvert", "stages", "presets", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "data/photos").mkdir(parents=True)
    (folder / "data/inputs").mkdir()
    photos = assets.parent / "sample_photos"
    for source, target in ((assets, folder / "data/assets"), (photos, folder / "data/sample_photos")):
        shutil.copytree(
            source, target, copy_function=os.link if source.stat().st_dev == folder.stat().st_dev else shutil.copy
        )
    shutil.copy(photos / "biden.jpg", folder / "data/photos/a.jpg")
    (folder / "data/photos/broken.jpg").write_bytes((photos / "biden.jpg").read_bytes()[:500])
    os.mkfifo(folder / "data/photos/pipe.jpg")  # DVC itself would wait for somebody to write into it
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    run("git", "init", "-q", cwd=folder)
    # The presets that TINY names stay; everything else of `methods` and `edits` goes.
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["invert"] |= {"methods": {}, "first": {}}
    params["edit"]["edits"] = {}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run(sys.executable, "-m", "stages.settings", "--apply", "tiny.yaml", cwd=folder)
    return folder


def started(output: str) -> set[str]:
    """The stages that a run of DVC has started."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def ran(project) -> Path:
    run("dvc", "repro", cwd=project)
    return project


@pytest.mark.slow
def test_every_stage_leaves_its_tables(ran):
    for file in ("data/encoders/wplus/validation.png", "reports/train_encoder/wplus.png"):
        assert (ran / file).stat().st_size > 1000
    assert json.loads((ran / "reports/train_encoder/wplus.json").read_text())["steps"] == 1
    photos = pq.read_table(ran / "data/photos.parquet").to_pylist()
    assert {row["path"]: row["status"] for row in photos} == {
        "data/photos/a.jpg": "ok",
        "data/photos/broken.jpg": "unreadable",
        "data/photos/pipe.jpg": "unreadable",
    }
    assert next(row["reason"] for row in photos if row["status"] != "ok")
    for method, column, size in (("encoder", "ws", 16 * 512), ("w", "w", 512)):
        codes = pq.read_table(ran / f"data/codes/{method}.parquet")
        assert codes.num_rows == 1
        assert len(codes.column(column)[0]) == size
    assert len(pq.read_table(ran / "data/codes/w.parquet").column("trace")[0]) == 3
    scores = pq.read_table(ran / "data/scores.parquet").to_pylist()
    assert {row["metric"] for row in scores} == set(
        yaml.safe_load((ran / "params.yaml").read_text())["evaluate"]["metrics"]
    )
    edited = pq.read_table(ran / "data/edits.parquet").to_pylist()
    assert [(row["direction"], row["amount"]) for row in edited] == [("smile", 1.0)]
    assert edited[0]["pasted"]
    figures = json.loads((ran / "reports/metrics.json").read_text())
    assert 0 < figures["w"]["mse_256"]["mean"] < 0.5
    lines = run("dvc", "metrics", "show", cwd=ran).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["reports/metrics/encoder.json", "reports/metrics/w.json"]
    assert max(map(len, lines)) <= 140  # a window at half of a screen


@pytest.mark.slow
def test_report_is_one_page_with_the_skipped_photo(ran):
    page = (ran / "reports/report.html").read_text()
    HTMLParser().feed(page)
    assert "broken.jpg" in page
    assert page.count("data:image/") > 6


@pytest.mark.slow
def test_second_run_does_nothing(ran):
    done = run("dvc", "repro", cwd=ran)
    assert started(done.stdout) == {"watch"}
    assert json.loads(run("dvc", "status", "--json", cwd=ran).stdout) == {"watch": ["always changed"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "runs"),
    [
        ("presets/cpu_wplus.yaml", "lr: 0.04", {"presets"}),  # a method that does not run
        ("presets/w.yaml", "lr: 0.04", {"presets", "invert@w", "edit", "evaluate", "report"}),
    ],
)
def test_changing_one_method_reruns_it_and_what_depends_on_it(ran, file, text, runs):
    path = ran / file
    before = path.read_text()
    path.write_text(f"{before}{text}\n")
    try:
        stale = json.loads(run("dvc", "status", "--json", cwd=ran).stdout)
        done = run("dvc", "repro", cwd=ran).stdout
    finally:
        path.write_text(before)
    assert set(stale) == {"presets", "watch"}
    assert started(done) == {*runs, "watch"}


@pytest.mark.slow
def test_a_mistyped_parameter_stops_before_any_work(ran):
    path = ran / "params.yaml"
    before = path.read_text()
    path.write_text(before.replace("feather:", "fether:"))
    try:
        done = run("dvc", "repro", "--force", "align", cwd=ran, check=False)
    finally:
        path.write_text(before)
    assert done.returncode != 0
    assert "edit.paste" in done.stdout + done.stderr
    assert "did you mean 'feather'" in done.stdout + done.stderr


@pytest.mark.slow
def test_blocks_of_the_studio_draw_its_pictures(ran, monkeypatch):
    """A part of the face, and chosen rows: what the page shows and what `dvc repro` makes of its block."""
    monkeypatch.chdir(ran)
    run("dvc", "repro", "invert@w", cwd=ran)  # a test before this one leaves codes of another preset
    generator = load_generator(Path("data/assets/mobile_stylegan.safetensors"))
    models = Models(generator, Path("data/directions.parquet"), Path("data/assets"), first="w")
    session, (code,) = Session(models), read_codes(Path("data/codes/w.parquet"), generator)
    session.opened = models.open(Path("data/photos/a.jpg").read_bytes(), "a.jpg")
    session.method, session.found = "w", {"w": Found(code, Mock())}
    changes = Changes().with_amount("smile", 2).with_amount("age", -1)
    edits, pictures = {}, {}
    for name, state in {"region": changes.within("mouth"), "rows": changes.on_rows("smile", (0, 3))}.items():
        session.history.add(state)
        edits[name] = yaml.safe_load(session.params("square"))["edit"]["edits"]["studio"]
        pictures[name] = session.picture()
    params = yaml.safe_load((ran / "params.yaml").read_text())
    params["edit"] |= {"method": "w", "edits": edits}
    (ran / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run("dvc", "repro", "edit", cwd=ran)
    rows = pq.read_table(ran / "data/edits.parquet").to_pylist()
    assert [row["direction"] for row in rows] == ["smile+2_age-1", "smile@0:3+2_age-1"]
    for row in rows:
        assert from_png(row["crop"]).tobytes() == pictures[row["edit"]].tobytes()
    assert len({picture.tobytes() for picture in [*pictures.values(), session.plain()]}) == 3

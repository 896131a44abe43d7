"""Which files of a stage become artifacts, and in which form."""

from __future__ import annotations

import base64
from pathlib import Path

from flows import publish
from flows.pipeline import Stage


def stage(outs: list[str], plots: list[str]) -> Stage:
    return Stage("report", (), False, tuple(map(Path, outs)), (), tuple(map(Path, plots)))


def test_metrics_are_flattened_with_dotted_names() -> None:
    nested = {"encoder": {"lpips": 0.1, "runs": [1, 2]}, "faces": 4}
    assert list(publish.flat(nested)) == [
        ("encoder.lpips", 0.1),
        ("encoder.runs.0", 1),
        ("encoder.runs.1", 2),
        ("faces", 4),
    ]


def test_pictures_are_single_files_and_what_plot_folders_hold(tmp_path: Path) -> None:
    for name in ("plots/b.png", "plots/deep/a.svg", "plots/curve.json", "crops/one.png", "grid.png", "codes.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = publish.pictures(tmp_path, stage(["plots", "crops", "grid.png", "codes.parquet", "missing.png"], ["plots"]))
    assert [str(path) for path in found] == ["plots/b.png", "plots/deep/a.svg", "grid.png"]


def test_keys_have_the_characters_that_prefect_allows() -> None:
    assert publish.key(Path("reports/plots/Loss_W+.png")) == "reports-plots-loss-w-png"


def test_a_picture_becomes_a_data_uri(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    assert publish.data_uri(tmp_path / "x.png") == "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()

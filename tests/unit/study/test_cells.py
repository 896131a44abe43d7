"""Cells: shortened presets, and seeds of methods that start from a random draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert.extraction import Invert
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.study.cells import make_cells, shortened
from ganvert.study.options import metrics_for

W = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 4, "lr": 0.05, "objective": [{"loss": "mse"}]}


def test_a_longer_preset_is_scaled_with_its_previews() -> None:
    raw = {**W, "steps": 110, "preview_steps": 60}
    assert shortened(raw, 20) == {**raw, "steps": 20, "preview_steps": 10}
    assert shortened(raw, 110) == shortened(raw, None) == raw


def test_stages_keep_their_shares_and_at_least_a_step() -> None:
    raw = {"inverter": "chain", "stages": [{"steps": 300}, {"steps": 99}, {"steps": 1}, {"inverter": "feed_forward"}]}
    assert [stage.get("steps") for stage in shortened(raw, 40)["stages"]] == [30, 9, 1, None]
    assert raw["stages"][0]["steps"] == 300


def test_one_pass_of_an_encoder_stays_as_it_is() -> None:
    assert shortened({"inverter": "feed_forward", "space": "wplus"}, 1) == {
        "inverter": "feed_forward",
        "space": "wplus",
    }


def test_methods_with_a_random_start_run_for_every_seed(
    tiny_generator: MobileStyleGAN, tiny_generator_file: Path, tmp_path: Path
) -> None:
    def invert(name: str, **options: object) -> Invert:
        return Invert(method=name, preset={**W, **options}, generator=str(tiny_generator_file), seed=7)

    methods = [
        invert("w"),
        invert("z", space="z", init="random"),
        invert("fz", space="f16/z", init="mean", detail_init="random"),
        ("gone", "no weights"),
        invert("bad", space="f512/w"),
    ]
    cells = make_cells(methods, steps=None, seeds=3, assets=tmp_path, device="cpu", threads=1, generator=tiny_generator)
    assert [(cell.name, cell.job is not None) for cell in cells] == [
        *(("w-0", True), ("z-0", True), ("z-1", True), ("z-2", True)),
        *(("fz-0", True), ("fz-1", True), ("fz-2", True)),
        *(("gone-0", False), ("bad-0", False)),
    ]
    assert [cell.invert.seed for cell in cells if cell.invert] == [7, 7, 8, 9, 7, 8, 9]
    assert len({cell.job.key for cell in cells if cell.job}) == 7
    assert cells[7].reason == "no weights" and "512" in cells[8].reason


@pytest.mark.parametrize(("px", "some"), [(1024, "lpips_vgg_1024"), (256, "mse_256"), (64, "ssim_64")])
def test_metrics_fit_the_generator(px: int, some: str) -> None:
    names = metrics_for(px)
    assert some in names and "identity_dlib" in names
    assert len(set(names)) == len(names)
    assert max(int(name.rpartition("_")[2]) for name in names if name[-1].isdecimal()) == px

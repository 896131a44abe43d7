"""The sections' own arithmetic: equal change, transforms, the deviation of styles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.base.errors import ParamsError
from ganvert.codes import Code
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.scoring.code_metrics import features_of_samples
from ganvert.scoring.frechet import frechet_shares
from ganvert.spaces import make_space
from ganvert.study.run import partners
from ganvert.study.sections.base import Finished, Tools
from ganvert.study.sections.consistency import style_deviation, style_statistics
from ganvert.study.sections.in_domain import InDomainOptions, finish_in_domain
from ganvert.study.sections.out_of_range import OutOfRangeOptions, transformed, transforms
from ganvert.study.sections.padding import PaddingOptions, colour_difference, pose_difference
from ganvert.study.sections.strength import StrengthOptions, at_change, finish_strength


def test_a_value_is_read_off_where_the_score_has_changed_so_much() -> None:
    score = {-2.0: -5.0, 0.0: 1.0, 1.0: 2.0, 2.0: 5.0}
    identity = {-2.0: 0.2, 0.0: 1.0, 1.0: 0.8, 2.0: 0.4}
    assert at_change(score, identity, 2.5) == pytest.approx(0.6)  # half of the way from 1 to 2
    assert at_change(score, identity, -3.0) == pytest.approx(0.6)  # half of the way to -2
    assert at_change(score, identity, 9.0) is None
    assert at_change(score, {0.0: 1.0}, 2.5) is None
    assert at_change({1.0: 2.0}, identity, 1.0) is None


def test_a_score_that_goes_both_ways_counts_where_it_comes_first() -> None:
    score = {-1.0: 2.0, 0.0: 0.0, 1.0: 1.0, 2.0: 2.0}
    assert at_change(score, {-1.0: 10.0, 0.0: 0.0, 1.0: 1.0, 2.0: 2.0}, 1.0) == pytest.approx(5.0)


def row(method: str, amount: float, metric: str, value: float) -> dict[str, Any]:
    return {
        "image_id": "a",
        "method": method,
        "seed": 0,
        "variant": "smile",
        "amount": amount,
        "metric": metric,
        "value": value,
        "status": "ok",
    }


def test_methods_are_compared_at_the_same_change() -> None:
    """One method's step is twice the other's: at equal amounts it loses, at equal change it does not."""
    rows = []
    for method, step in (("short", 1.0), ("long", 2.0)):
        for amount in (-2.0, 0.0, 2.0):
            rows.append(row(method, amount, "smile", step * amount))
            rows.append(row(method, amount, "identity_dlib", 0.1 * step * abs(amount)))
            rows.append(row(method, amount, "age", 40.0 + step * amount + (method == "long")))
    found = {(r["method"], r["metric"]): r for r in finish_strength(rows)}
    change = 0.5 * (2.0 + 4.0) / 2
    assert found["short", "identity_dlib@change"]["amount"] == pytest.approx(change)
    values = [found[method, "identity_dlib@change"]["value"] for method in ("short", "long")]
    assert values == pytest.approx([0.15, 0.15])
    # Unedited ages are 40 and 41: their deviation is one half, and age changes as much as the smile does.
    assert found["long", "off_target@change"]["value"] == pytest.approx(change / 0.5)


def test_amounts_are_odd_and_hold_zero() -> None:
    assert StrengthOptions(steps=5, most=2.0).amounts == [-2.0, -1.0, 0.0, 1.0, 2.0]
    with pytest.raises(ParamsError, match="odd"):
        StrengthOptions(steps=10)


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)


def test_a_whole_number_of_pixels_is_a_plain_shift_with_a_mirrored_edge(picture: Image.Image) -> None:
    moved, still = np.asarray(transformed(picture, shift=8 / 64)), np.asarray(picture)
    assert (moved[:, 8:] == still[:, :-8]).all()
    assert (moved[:, :8] == still[:, 7::-1]).all()


def test_turns_are_counterclockwise(picture: Image.Image) -> None:
    quarter = np.asarray(transformed(picture, degrees=90)).astype(int)
    assert np.abs(quarter - np.asarray(picture.transpose(Image.Transpose.ROTATE_90))).max() <= 1


def test_a_scale_keeps_the_middle_and_shrinks_the_rest(picture: Image.Image) -> None:
    half = transformed(picture, scale=0.5)
    inner = np.asarray(half.crop((16, 16, 48, 48))).astype(float)
    assert np.abs(inner - np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))).mean() < 6
    same = np.asarray(transformed(picture)).astype(int)
    assert (same == np.asarray(picture)).all()


def test_every_transform_has_its_name(picture: Image.Image) -> None:
    named = transforms(OutOfRangeOptions(translations=(32,), rotations=(-10,), scales=(1.2,)))
    assert list(named) == ["translate 32", "rotate -10", "scale 1.2"]
    assert all(change(picture).size == picture.size for change in named.values())
    with pytest.raises(ParamsError, match="scales"):
        OutOfRangeOptions(scales=(0.0,))


def test_styles_of_samples_deviate_by_one(tiny_generator: MobileStyleGAN) -> None:
    statistics, space = style_statistics(tiny_generator, 400), make_space("wplus", tiny_generator)

    def deviation(ws: torch.Tensor) -> float:
        code = Code(image_id="a", method="m", bind=lambda: space, variables={"ws": ws})
        return style_deviation(code, statistics)

    seeds = space.from_random(range(100))["ws"]
    assert np.mean([deviation(ws[None]) ** 2 for ws in seeds]) == pytest.approx(1.0, abs=0.15)
    mean = seeds.mean(dim=0, keepdim=True)
    assert deviation(mean + 5 * (seeds[:1] - mean)) > 3


def test_every_photograph_is_the_partner_of_one_other_whatever_their_order() -> None:
    ring = partners(["c", "a", "b"])
    assert ring == {"a": "b", "b": "c", "c": "a"} == partners(["b", "c", "a"])
    assert partners(["a", "c"]) == {"a": "c", "c": "a"}
    assert partners(["a"]) == {}


def test_poses_are_as_far_apart_as_their_angles() -> None:
    face = {"yaw": 3.0, "pitch": 0.0, "roll": 1.0, "smile": 9.0}
    assert pose_difference(face, {"yaw": 0.0, "pitch": 4.0, "roll": 1.0}) == 5.0
    assert pose_difference(face, {"yaw": None, "pitch": None, "roll": None}) is None


def test_colours_are_as_far_apart_as_in_cielab() -> None:
    def plain(colour: str) -> Image.Image:
        return Image.new("RGB", (64, 64), colour)

    assert colour_difference(plain("white"), plain("black")) == pytest.approx(100.0, abs=1e-3)
    # Lindbloom's calculator: red is (53.24, 80.09, 67.20), blue is (32.30, 79.19, -107.86).
    wanted = math.dist((53.24, 80.09, 67.20), (32.30, 79.19, -107.86))
    assert colour_difference(plain("red"), plain("blue")) == pytest.approx(wanted, abs=0.05)
    framed = plain("red")
    framed.paste(plain("white"), (-50, 0))  # the border of a crop is no face
    assert colour_difference(framed, plain("red")) == 0.0


@pytest.mark.slow
def test_shares_of_the_distance_to_samples_are_of_one_variant_and_method(
    tiny_generator: MobileStyleGAN, assets: Path
) -> None:
    numbers = np.random.default_rng(0)
    tools = Tools(generator=tiny_generator, assets=assets, metrics=())
    rows = [
        {
            "image_id": f"i{i}",
            "method": method,
            "seed": 0,
            "variant": "interpolation",
            "amount": amount,
            "features": row,
        }
        for method, amount, count in (("m", 0.25, 3), ("m", 0.5, 4), ("few", 0.5, 2))
        for i, row in enumerate(numbers.random((count, 512)).tolist())
    ]
    found = finish_in_domain(Finished([], [], rows), tools, InDomainOptions(samples=5))
    assert [(row["method"], row["amount"], row["image_id"]) for row in found] == [
        *(("m", 0.25, f"i{i}") for i in range(3)),
        *(("m", 0.5, f"i{i}") for i in range(4)),
    ]
    assert {row["metric"] for row in found} == {"frechet_vgg16_5"}
    samples = features_of_samples(tiny_generator, range(5), assets)
    here = torch.tensor([row["features"] for row in rows[:3]], dtype=torch.float64)
    assert [row["value"] for row in found[:3]] == pytest.approx(frechet_shares(here, samples).tolist())
    assert finish_in_domain(Finished([], [], []), tools, InDomainOptions(samples=5)) == []


@pytest.mark.parametrize(
    "wrong", [{"amounts": (0.0,)}, {"amounts": (1.0,)}, {"most": 0.0}, {"samples": 1}, {"crop": 300}]
)
def test_in_domain_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        InDomainOptions(**wrong)


@pytest.mark.parametrize("amounts", [(), (0.0,), (1.5,)])
def test_amounts_of_padding_lie_on_the_way(amounts: tuple[float, ...]) -> None:
    with pytest.raises(ParamsError, match="amounts"):
        PaddingOptions(amounts=amounts)

"""What every step of a training sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvert import tables
from ganvert.base import params
from ganvert.base.errors import InputError
from ganvert.compute.random import normal
from ganvert.encoders import BACKBONES, Encoder, EncoderSpec
from ganvert.encoders.backbones import Backbone
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize, from_pil, to_pil
from ganvert.sampling import picture_of, ws_of
from ganvert.training import DataOptions, Photos, read_photos
from ganvert.training.data import Data, Item

AUGMENT = {"mirror": True, "translate": 0.1, "rotate": 5.0, "scale": 0.1, "colour": 0.3, "noise": 0.1}


class Still(Backbone):
    """A frozen backbone: convolutions of fixed numbers, and a count of the pictures that it has seen."""

    frozen = True
    default_px = 32
    seen = 0

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self.taps = {px // 2: 6, px // 4: 4}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        type(self).seen += len(images)
        fine = F.conv2d(images, normal([0], (6, self.channels, 2, 2))[0], stride=2)
        return {self.px // 2: fine, self.px // 4: F.conv2d(fine, normal([1], (4, 6, 2, 2))[0], stride=2)}


class Moving(Still):
    """The same, as if it were trained."""

    frozen = False


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "still", Still)
    monkeypatch.setitem(BACKBONES, "moving", Moving)
    monkeypatch.setattr(Still, "seen", 0)


def photos(n: int, px: int = 64) -> Photos:
    pixels = normal(range(n), (px, px, 3)).mul(40).add(128).clamp(0, 255).to(torch.uint8).numpy()
    return Photos(tuple(f"photo {i:03}" for i in range(n)), pixels)


def data(
    generator: MobileStyleGAN,
    work: Path,
    of: Photos | None = None,
    backbone: str = "moving",
    seed: int = 0,
    **more: Any,
) -> Data:
    spec = EncoderSpec(backbone=backbone, heads={"compact": {"width": 8, "code": 8}})
    built = params.build(DataOptions, {"px": 64, "validation": 0, **more}, "data")
    return Data(generator, Encoder(spec, generator), built, of, seed, work)


# --- which pictures


def test_a_step_is_decided_by_its_number(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"samples": 10, "photos": 0.3, "photo_variants": 2, "validation": 2}
    one = data(tiny_generator, tmp_path / "one", photos(9), **settings)
    other = data(tiny_generator, tmp_path / "other", photos(9), **settings)
    forward = [one.items(step, 5) for step in range(30)]
    back = [other.items(step, 5) for step in reversed(range(30))][::-1]
    assert forward == back
    reseeded = data(tiny_generator, tmp_path / "one", photos(9), seed=1, **settings)
    assert forward != [reseeded.items(step, 5) for step in range(30)]


@pytest.mark.parametrize(("share", "batch"), [(0.0, 4), (0.1, 4), (0.334, 24), (0.5, 1), (0.7, 3), (1.0, 4)])
def test_photographs_keep_their_share(share: float, batch: int, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    mixed = data(tiny_generator, tmp_path, photos(7), samples=40, photos=share)
    steps = [mixed.items(step, batch) for step in range(60)]
    assert {len(items) for items in steps} == {batch}
    counts = np.cumsum([sum(item.kind == "photo" for item in items) for items in steps])
    assert np.abs(counts - share * batch * np.arange(1, 61)).max() <= 0.5 + 1e-6
    # Of each kind, an epoch sees everything once, in an order of its own.
    for kind, count in (("photo", 7), ("sample", 40)):
        seen = [item for items in steps for item in items if item.kind == kind]
        epochs = [seen[i : i + count] for i in range(0, len(seen) - count + 1, count)]
        assert all(sorted(item.index for item in epoch) == list(range(count)) for epoch in epochs)
        orders = {tuple(item.index for item in epoch) for epoch in epochs}
        assert len(orders) == len(epochs)


def test_held_out_photographs_are_not_seen(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    given = photos(12)
    split = data(tiny_generator, tmp_path, given, photos=1.0, validation=4)
    assert split.photos is not None and split.held_out is not None
    assert len(split.held_out.ids) == 4
    assert sorted(split.photos.ids + split.held_out.ids) == list(given.ids)
    for part in (split.photos, split.held_out):
        for name, pixels in zip(part.ids, part.pixels, strict=True):
            assert np.array_equal(pixels, given.pixels[given.ids.index(name)])
    items = [item for step in range(20) for item in split.items(step, 4)]
    assert {split.photos.ids[item.index] for item in items} == set(split.photos.ids)


def test_more_photographs_leave_most_of_those_held_out() -> None:
    before = set(photos(200).split(20)[1].ids)
    after = set(photos(210).split(20)[1].ids)
    assert len(before & after) >= 17
    rest, out = photos(5).split(8)  # fewer than are to be held out
    assert (len(rest.ids), len(out.ids)) == (0, 5)
    assert rest.pixels.shape == (0, 64, 64, 3)
    everything, nothing = photos(5).split(0)
    assert (everything.ids, nothing.ids) == (photos(5).ids, ())


def test_photographs_that_are_wanted_and_lacking(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"align some first \(stage align\)"):
        data(tiny_generator, tmp_path, None, photos=0.1)
    with pytest.raises(InputError, match="no photographs are left to train on beside the 3"):
        data(tiny_generator, tmp_path, photos(3), photos=0.1, validation=3)
    data(tiny_generator, tmp_path, photos(3), photos=0.0, validation=8)
    assert data(tiny_generator, tmp_path, None, validation=8).held_out is None


def test_crops_are_read_in_the_order_of_their_ids(tmp_path: Path) -> None:
    def row(name: str, grey: int) -> dict[str, Any]:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), (grey, 2 * grey, 0)).save(buffer, "PNG")
        facts = {"image_id": name, "photo_id": name, "path": name, "face": 0, "recipe": "center", "resolution": 40}
        return {**facts, "quad": [0.0] * 8, "landmarks": None, "crop": buffer.getvalue()}

    tables.write(tmp_path / "aligned.parquet", tables.ALIGNED, [row("b", 20), row("a", 10), row("c", 30)])
    found = read_photos(tmp_path / "aligned.parquet", 20)
    assert found.ids == ("a", "b", "c")
    assert found.pixels.shape == (3, 20, 20, 3) and found.pixels.dtype == np.uint8
    assert found.pixels[:, 5, 5].tolist() == [[10, 20, 0], [20, 40, 0], [30, 60, 0]]
    torch.testing.assert_close(found.get([1])[0, :, 3, 3], torch.tensor([20.0, 40.0, 0.0]) / 127.5 - 1)
    assert found.fingerprint() == read_photos(tmp_path / "aligned.parquet", 20).fingerprint()
    assert len({each.fingerprint() for each in (found, *found.split(1), photos(3), photos(4))}) == 5
    tables.write(tmp_path / "none.parquet", tables.ALIGNED, [])
    with pytest.raises(InputError, match="holds no aligned photographs"):
        read_photos(tmp_path / "none.parquet", 20)


# --- their pixels


def test_samples_are_the_pictures_of_their_seeds(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    kept = data(tiny_generator, tmp_path, samples=6)
    kept.prepare(range(3), 2)
    new = data(tiny_generator, tmp_path)
    items = [Item("sample", seed, 0) for seed in (5, 0, 3)]
    ws = kept.ws_of([5, 0, 3])
    torch.testing.assert_close(ws, ws_of(tiny_generator, [5, 0, 3]))
    wanted = from_pil(to_pil(picture_of(tiny_generator, ws, 64)))
    for source in (kept, new):
        seen, target = source.pictures(items)
        assert torch.equal(seen, target)
        assert float((seen - wanted).abs().max()) <= 1.01 / 127.5  # rounding to eight bits, in other batches
    assert [item.index for step in range(3) for item in new.items(step, 2)] == list(range(6))  # for ever new


def test_truncated_samples_are_others(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    plain = data(tiny_generator, tmp_path, samples=4)
    truncated = data(tiny_generator, tmp_path, samples=4, psi=0.5, cutoff=3)
    for source in (plain, truncated):
        source.prepare(range(1), 4)
    items = plain.items(0, 4)
    assert not torch.equal(plain.pictures(items)[0], truncated.pictures(items)[0])
    half = (truncated.ws_of([1]) - tiny_generator.w_avg) / (plain.ws_of([1]) - tiny_generator.w_avg)
    torch.testing.assert_close(half[0], torch.tensor([0.5] * 3 + [1.0] * 5)[:, None].expand(8, 16))
    wanted = from_pil(to_pil(picture_of(tiny_generator, truncated.ws_of([2]), 64)))
    assert float((truncated.pictures([Item("sample", 2, 0)])[0] - wanted).abs().max()) <= 1.01 / 127.5


def test_samples_are_never_moved_and_photographs_are(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """A moved sample no longer belongs to its code; only what the encoder sees of it may be spoilt."""
    settings: dict[str, Any] = {"samples": 4, "photos": 0.5, "photo_variants": 3, "sample_variants": 3}
    plain = data(tiny_generator, tmp_path, photos(4), **settings)
    moved = data(tiny_generator, tmp_path, photos(4), **settings, augment={"mirror": True, "rotate": 10.0})
    changed = data(tiny_generator, tmp_path, photos(4), **settings, augment=AUGMENT)
    plain.prepare(range(4), 4)
    samples = [Item("sample", i, variant) for i in range(4) for variant in range(3)]
    pictures = [Item("photo", i, variant) for i in range(4) for variant in range(3)]
    original = plain.pictures(samples)[0]
    assert all(torch.equal(part, original) for part in moved.pictures(samples))
    seen, target = changed.pictures(samples)
    assert torch.equal(target, original)
    assert all(not torch.equal(a, b) for a, b in zip(seen, original, strict=True))
    seen, target = moved.pictures(pictures)
    assert torch.equal(seen, target)
    assert not torch.equal(seen, plain.pictures(pictures)[0])
    seen, target = changed.pictures(pictures)
    assert all(not torch.equal(a, b) for a, b in zip(seen, target, strict=True))


def test_variants_can_be_made_again(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "samples": 4,
        "photos": 0.5,
        "photo_variants": 2,
        "sample_variants": 0,
        "augment": AUGMENT,
    }
    one = data(tiny_generator, tmp_path, photos(4), **settings)
    one.prepare(range(20), 4)
    items = [item for step in range(20) for item in one.items(step, 4)]
    assert {item.variant for item in items if item.kind == "photo"} == {0, 1}
    assert {item.variant for item in items if item.kind == "sample"} == set(range(10))  # as many as epochs
    other = data(tiny_generator, tmp_path, photos(4), **settings)
    mixed = [items[i] for i in (3, 0, 17, 40, 41, 79)]
    for part, again in zip(one.pictures(mixed), other.pictures(mixed), strict=True):
        assert torch.equal(part, again)
    for i, item in enumerate(mixed):  # whatever else is in the batch
        assert torch.equal(other.pictures([item])[0][0], one.pictures(mixed)[0][i])
    versions = one.pictures([Item("photo", 1, 0), Item("photo", 1, 1), Item("photo", 2, 0)])[0]
    assert not torch.equal(versions[0], versions[1])
    reseeded = data(tiny_generator, tmp_path, photos(4), seed=1, **settings)
    assert not torch.equal(reseeded.pictures(mixed)[0], one.pictures(mixed)[0])


# --- features of a frozen backbone


def test_kept_features_are_those_of_the_pictures(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "samples": 6,
        "photos": 0.4,
        "photo_variants": 2,
        "sample_variants": 2,
        "augment": AUGMENT,
    }
    kept = data(tiny_generator, tmp_path, photos(5), "still", **settings)
    kept.prepare(range(8), 5)
    different = {item for step in range(8) for item in kept.items(step, 5)}
    assert Still.seen == len(different)  # each once
    fresh = data(tiny_generator, tmp_path, photos(5), "moving", **settings)
    for step in range(8):
        items = kept.items(step, 5)
        assert items == fresh.items(step, 5)
        seen = kept.pictures(items)[0]
        given, wanted = kept.taps(items, seen), fresh.taps(items, seen)
        assert list(given) == list(wanted) == [16, 8]
        for side, value in wanted.items():
            assert given[side].dtype == torch.float32
            torch.testing.assert_close(given[side], value, rtol=1e-3, atol=2e-3)
    Still.seen = 0
    again = data(tiny_generator, tmp_path, photos(5), "still", **settings)
    again.prepare(range(8), 5)
    again.taps(kept.items(0, 5), kept.pictures(kept.items(0, 5))[0])
    assert Still.seen == 0


def test_what_comes_new_each_time_is_not_kept(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """Photographs without variants are looked at afresh beside samples that are kept, each in its place."""
    settings: dict[str, Any] = {"samples": 6, "photos": 0.5, "photo_variants": 0, "augment": {"noise": 0.2}}
    mixed = data(tiny_generator, tmp_path, photos(3), "still", **settings)
    mixed.prepare(range(4), 4)
    for step in range(4):
        items = mixed.items(step, 4)[::-1] if step % 2 else mixed.items(step, 4)
        seen = mixed.pictures(items)[0]
        wanted = mixed.encoder.features(area_resize(seen, 32))
        for side, value in mixed.taps(items, seen).items():
            torch.testing.assert_close(value, wanted[side], rtol=1e-3, atol=2e-3)
    assert len(list((tmp_path / "features").glob("photo*"))) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"samples": 9},
        {"samples": 3},
        {"augment": {"noise": 0.1}},
        {"psi": 0.5},
        {"px": 32},
        {"sample_variants": 2},
        {"seed": 1},
    ],
)
def test_features_of_other_options_are_others(
    more: dict[str, Any], tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"samples": 6, "augment": {"noise": 0.2}}
    for each in (settings, {**settings, **more}):
        made = data(tiny_generator, tmp_path, None, "still", **each)
        made.prepare(range(6), 3)
        for step in range(6):
            items = made.items(step, 3)
            seen = made.pictures(items)[0]
            for side, value in made.encoder.features(area_resize(seen, 32)).items():
                torch.testing.assert_close(made.taps(items, seen)[side], value, rtol=1e-3, atol=2e-3)


def test_long_runs_are_not_listed_for_nothing(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is kept there is nothing to prepare, were it for 14 million pictures."""
    endless = data(tiny_generator, tmp_path, photos(4), photos=0.5)
    monkeypatch.setattr(endless, "items", lambda *_: pytest.fail("asked for a step"))
    endless.prepare(range(109375), 128)

"""What a draft network learns from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganvert.base.errors import ParamsError
from ganvert.compute.random import normal
from ganvert.encoders import Encoder
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.training import Photos, TrainOptions
from ganvert.training.data import Data
from ganvert.training.draft_data import DraftData

Options = Callable[..., TrainOptions]
Waves = Callable[..., Photos]


def made(generator: MobileStyleGAN, options: TrainOptions, photos: Photos | None, count: int, work: Path) -> DraftData:
    encoder = Encoder(options.encoder, generator)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.02 * normal([3], parameter.shape)[0])
    return DraftData(Data(generator, encoder, options.data, photos, options.seed, work), encoder, count, work)


def test_samples_then_predictions(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves
) -> None:
    photos = waves(3)
    pairs = made(tiny_generator, options(data={"samples": 4, "px": 64, "photos": 0.5}), photos, 9, tmp_path)
    assert (pairs.samples, pairs.photos, pairs.count) == (4, 3, 7)
    pairs.draw()
    torch.testing.assert_close(pairs.ws_of(range(4)), pairs.data.ws_of(range(4)))
    # Whatever their order, images are those of the codes, to eight bits.
    order = [5, 0, 6, 3]
    wanted = area_resize(tiny_generator.synthesize(ws=pairs.ws_of(order)), 64).clamp(-1, 1)
    assert (pairs.pictures_of(order) - wanted).abs().max() <= 1 / 127.5
    # Predictions for the photographs, every second one mirrored, on the line through w_avg.
    images = photos.get(range(3))
    images[1] = images[1].flip(2)
    rows = pairs.encoder.encode(images)["ws"] - pairs.encoder.w_avg
    factors = (pairs.ws_of(range(4, 7)) - pairs.encoder.w_avg) / rows
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors), rtol=1e-3, atol=1e-3)
    assert float(factors.min()) >= 0.9
    assert float(factors.max()) <= 1.35
    assert len(set(factors[:, 0, 0].tolist())) == 3


def test_an_encoder_without_rows_has_no_predictions_to_draw(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves
) -> None:
    feature = options(
        encoder={"space": "f8/wplus", "heads": {"feature": {"size": 8, "width": 8}}}, feature=1.0, latent=0.0
    )
    assert made(tiny_generator, feature, waves(3), 0, tmp_path).count == 8
    with pytest.raises(ParamsError, match=r"predicts f8 and no rows.*draft_photos: 0"):
        made(tiny_generator, feature, waves(3), 2, tmp_path)


def test_names(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves) -> None:
    """Without predictions the network depends on the generator's samples alone."""
    with_photos = options(data={"samples": 4, "px": 64, "photos": 0.5})
    names = [
        made(tiny_generator, with_photos, photos, count, tmp_path).name
        for photos, count in ((waves(3), 0), (waves(3), 2), (waves(3), 3), (waves(4), 3))
    ]
    assert names[0] == ""
    assert len(set(names)) == 4


def test_nothing_to_learn_from(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves) -> None:
    nothing = options(data={"samples": 0, "px": 64, "photos": 0.5})
    with pytest.raises(ParamsError, match=r"give data\.samples"):
        made(tiny_generator, nothing, waves(3), 0, tmp_path)

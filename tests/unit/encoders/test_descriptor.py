"""dlib's descriptor as an input of heads, and rows that several heads predict together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ganvert.base.errors import ParamsError
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.encoders.descriptor import describe
from ganvert.faces.chips import DLIB, DLIB_POINTS_FFHQ, place_points
from ganvert.faces.identity import load_dlib
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize

HEADS = {"compact": {"width": 8, "code": 16, "drop": 0.0}, "identity": {"code": 8, "narrow": 4}}


@pytest.mark.slow
def test_it_is_dlibs_at_the_mean_place(assets: Path) -> None:
    image = normal([0], (3, 256, 256)).mul(0.3).clamp(-1, 1)
    place = torch.from_numpy(place_points(np.array(DLIB_POINTS_FFHQ) * 256 - 0.5, DLIB))
    wanted = load_dlib(assets, torch.device("cpu"))(image, place[None])
    torch.testing.assert_close(describe(image, assets)[:, :, 0, 0] / 10, wanted)


def test_images_side_by_side(assets: Path) -> None:
    first, second = normal([1, 2], (3, 256, 256)).mul(0.3).clamp(-1, 1)[:, None]
    both = describe(torch.cat([first, second], dim=1), assets)
    torch.testing.assert_close(both, torch.cat([describe(first, assets), describe(second, assets)], dim=1))


def test_offsets_of_two_heads_are_added(tiny_generator: MobileStyleGAN, assets: Path) -> None:
    spec = EncoderSpec(backbone="parsing_frozen", descriptor="dlib", heads=HEADS, input_px=128)
    encoder = Encoder(spec, tiny_generator, assets).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.02 * normal([3], parameter.shape)[0])
    # The backbone sees its own 128 px, the descriptor an image that shows who it is.
    assert (encoder.input_px, encoder.backbone.px) == (256, 128)
    taps = encoder.features(normal([4], (3, 256, 256)).mul(0.3).clamp(-1, 1))
    assert {side: x.shape[1] for side, x in taps.items()} == encoder.taps == {16: 128, 8: 256, 4: 512, 1: 128}
    maps = {side: taps[side] for side in (16, 8, 4)}
    rows, identity = encoder.heads["compact"](maps)["ws"], encoder.heads["identity"]({1: taps[1]})["ws"]
    assert min(rows.abs().max(), identity.abs().max()) > 0.01
    torch.testing.assert_close(encoder.predict(taps)["ws"], encoder.w_avg + rows + identity)


def test_a_head_that_reads_it_needs_it() -> None:
    with pytest.raises(ParamsError, match="descriptor: dlib"):
        EncoderSpec(backbone="vgg", heads=HEADS)


def test_numbers_of_heads(tiny_generator: MobileStyleGAN, assets: Path) -> None:
    """The descriptor comes first, then the colours of a small picture; heads that read everything see both."""
    heads = {"identity": {"code": 8, "narrow": 4}, "fused": {"code": 8, "narrow": 4, "drop": 0.0}}
    encoder = Encoder(
        EncoderSpec(backbone="vgg", descriptor="dlib", pixels=4, heads=heads, input_px=64), tiny_generator, assets
    ).eval()
    image = normal([5], (3, 256, 256)).mul(0.3).clamp(-1, 1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.02 * normal([3], parameter.shape)[0])
        taps = encoder.features(image)
        numbers = torch.cat([describe(image, assets), area_resize(image, 4).reshape(1, 48, 1, 1)], dim=1)
        torch.testing.assert_close(taps[1], numbers)
        identity = encoder.heads["identity"]({1: numbers[:, :128]})["ws"]
        fused = encoder.heads["fused"](taps)["ws"]
        torch.testing.assert_close(encoder.predict(taps)["ws"], encoder.w_avg + identity + fused)
        darker = encoder.heads["fused"]({**taps, 1: torch.cat([numbers[:, :128], numbers[:, 128:] - 1], dim=1)})["ws"]
    assert (darker - fused).abs().max() > 1e-3


def test_sizes_of_the_small_picture() -> None:
    for pixels in (-1, 65):
        with pytest.raises(ParamsError, match="pixels: wanted 0 to 64"):
            EncoderSpec(backbone="vgg", heads={"compact": {}}, pixels=pixels)

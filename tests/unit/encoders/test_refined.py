"""The feature that starts from the generator's own at the predicted rows."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.encoders.heads.refined import RefinedHead
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.spaces import make_space
from ganvert.spaces.feature import point_of_size

TAPS = {32: 3, 16: 5, 8: 4}


def own_feature(generator: MobileStyleGAN, ws: Tensor) -> Tensor:
    point = point_of_size(generator, 16).name
    return generator.features(SynthesisInput(ws=ws), [point])[point]


def random_taps() -> dict[int, Tensor]:
    return {side: normal([3, 4], (channels, side, side)) for side, channels in TAPS.items()}


def test_untrained_it_is_the_generators_own(tiny_generator: MobileStyleGAN) -> None:
    head = RefinedHead(tiny_generator, TAPS, width=8)
    assert head.parts == ("f16",)
    ws = tiny_generator.map(normal([0, 1], (16,)))
    torch.testing.assert_close(head(random_taps(), ws)["f16"], own_feature(tiny_generator, ws), rtol=0, atol=0)
    mean = tiny_generator.w_avg.expand(2, tiny_generator.num_ws, -1)
    torch.testing.assert_close(head(random_taps())["f16"], own_feature(tiny_generator, mean), rtol=0, atol=0)


def test_shares_in_closed_form(tiny_generator: MobileStyleGAN) -> None:
    """A gate of a quarter and a new map of two: three quarters of the own feature and two."""
    head, ws = RefinedHead(tiny_generator, TAPS, width=8), tiny_generator.map(normal([0, 1], (16,)))
    torch.nn.init.constant_(head.gate.bias, 0.25)
    torch.nn.init.constant_(head.layers[-1].bias, 2.0)
    wanted = 0.75 * own_feature(tiny_generator, ws) + 2
    torch.testing.assert_close(head(random_taps(), ws)["f16"], wanted)


def test_it_sees_every_map_the_small_picture_and_the_rows(tiny_generator: MobileStyleGAN) -> None:
    head = RefinedHead(tiny_generator, TAPS, width=8)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * normal([5], parameter.shape)[0])
    taps, ws = random_taps(), tiny_generator.map(normal([0, 1], (16,)))
    with torch.no_grad():
        before = head(taps, ws)["f16"]
        for side in TAPS:
            # One pixel changes what lies about it, and the other image not at all.
            other = taps[side].clone()
            other[0, :, 0, 0] += 5
            after = head({**taps, side: other}, ws)["f16"]
            assert (after[0] - before[0]).abs().amax(dim=0)[:2, :2].max() > 1e-3
            assert (after[0] - before[0])[:, 8:, 8:].abs().max() < 1e-6
            torch.testing.assert_close(after[1], before[1])
        learnt = head(taps, ws + 1)["f16"] - own_feature(tiny_generator, ws + 1)
        assert (learnt - (before - own_feature(tiny_generator, ws))).abs().max() > 1e-3


def test_it_corrects_the_rows_of_its_encoder(tiny_generator: MobileStyleGAN) -> None:
    heads = {"compact": {"width": 8, "code": 16, "drop": 0.0}, "refined": {"width": 8}}
    for pixels in (32, 8):  # 8 is a side that the backbone has too
        spec = EncoderSpec(space="fs16/wplus", backbone="ir18", pixels=pixels, heads=heads, input_px=64)
        encoder = Encoder(spec, tiny_generator).eval()
        assert encoder.parts == {"ws", "f16"}
        image = normal([5], (3, 64, 64)).mul(0.3).clamp(-1, 1)
        with torch.no_grad():
            taps = encoder.features(image)
            offsets = encoder.heads["compact"]({side: taps[side] for side in encoder.backbone.taps})
            prediction = encoder.encode(image)
            rows = offsets["ws"] + tiny_generator.w_avg
            torch.testing.assert_close(prediction["ws"], rows)
            torch.testing.assert_close(prediction["f16"], own_feature(tiny_generator, rows))
            # The last channels of the side are the small picture's colours, in their places.
            seen: list[dict[int, Tensor]] = []
            encoder.heads["refined"].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))  # noqa: B023
            encoder.encode(image)
            torch.testing.assert_close(seen[0][pixels][:, -3:], area_resize(image, pixels))
            picture = encoder.draw(prediction)
        space = make_space("wplus", tiny_generator)
        torch.testing.assert_close(picture, tiny_generator.synthesize(space.decode({"ws": rows})))

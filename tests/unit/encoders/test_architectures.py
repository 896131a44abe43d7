"""Backbones, neck and heads against the published tables and against sums by hand.

Networks of full size are built on PyTorch's meta device: shapes without numbers.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.encoders.backbones.base import Backbone
from ganvert.encoders.backbones.plain import Plain, PlainNarrow
from ganvert.encoders.backbones.residual import Residual
from ganvert.encoders.backbones.resnet_ir import IR18, IR50, IResNet50
from ganvert.encoders.backbones.units import ArcFaceUnit, IRUnit, SqueezeExcitation
from ganvert.encoders.heads import Prediction
from ganvert.encoders.heads.base_code import BaseCodeHead
from ganvert.encoders.heads.content import ContentHead
from ganvert.encoders.heads.dense import DenseHead
from ganvert.encoders.heads.feature import FeatureHead
from ganvert.encoders.heads.last import LastHead
from ganvert.encoders.heads.map2style import Map2StyleHead
from ganvert.encoders.heads.padding import PaddingHead
from ganvert.encoders.heads.pooled import PooledHead
from ganvert.encoders.heads.progressive import ProgressiveHead
from ganvert.encoders.heads.style_block import StyleBlock, side_of_rows
from ganvert.encoders.heads.taps import nearest, resized
from ganvert.encoders.neck import FPN
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.generators.stylegan2 import StyleGAN2
from ganvert.spaces.pad import map_of

#: Taps of Table S1: side to channels.
TABLE_S1 = {64: 128, 32: 256, 16: 512}


def stylegan2(resolution: int) -> StyleGAN2:
    """One of the published size (configuration f) without numbers."""
    state = {"w_avg": torch.empty(512), "synthesis.b4.const": torch.empty(512, 4, 4)}
    for i in range(2):
        state |= {f"mapping.fc{i}.weight": torch.empty(512, 512), f"mapping.fc{i}.bias": torch.empty(512)}

    def layer(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            torch.empty(outputs, inputs, kernel, kernel),
            torch.empty(outputs),
        )
        state[f"{name}.affine.weight"], state[f"{name}.affine.bias"] = torch.empty(inputs, 512), torch.empty(inputs)

    sizes = [4 * 2**i for i in range(int(math.log2(resolution)) - 1)]
    width = {size: min(512, 32768 // size) for size in [2, *sizes]}
    for size in sizes:
        if size > 4:
            layer(f"synthesis.b{size}.conv0", width[size // 2], width[size], 3)
        layer(f"synthesis.b{size}.conv1", width[size], width[size], 3)
        layer(f"synthesis.b{size}.torgb", width[size], 3, 1)
    return StyleGAN2.for_state(state, {}).eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[1024, 512, 256])
def large(request: pytest.FixtureRequest) -> StyleGAN2:
    with torch.device("meta"):
        return stylegan2(request.param)


@pytest.fixture(scope="module")
def largest() -> StyleGAN2:
    with torch.device("meta"):
        return stylegan2(1024)


def meta_taps(taps: dict[int, int], n: int = 1) -> dict[int, Tensor]:
    return {side: torch.empty(n, channels, side, side, device="meta") for side, channels in taps.items()}


def random_taps(taps: dict[int, int], n: int = 2) -> dict[int, Tensor]:
    return {side: normal(range(n), (channels, side, side)) for side, channels in taps.items()}


def shapes_of(values: dict[int, Tensor] | Prediction) -> dict[object, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in values.items()}


def shape_behind(module: nn.Module, seen: dict[str, tuple[int, ...]], name: str) -> None:
    module.register_forward_hook(lambda _, __, out: seen.__setitem__(name, tuple(out.shape[1:])))


# --- Table S1 --------------------------------------------------------------------------------------------------------


def test_backbone_of_table_s1() -> None:
    seen: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        backbone = IR50(channels=3, px=256, folder=None)
        shape_behind(backbone.stem, seen, "conv_1")
        for i, stage in enumerate(backbone.stages):
            shape_behind(stage, seen, f"res_{i + 2}")
        out = backbone(torch.empty(1, 3, 256, 256))
    assert seen == {
        "conv_1": (64, 256, 256),
        "res_2": (64, 128, 128),
        "res_3": (128, 64, 64),
        "res_4": (256, 32, 32),
        "res_5": (512, 16, 16),
    }
    assert [len(stage) for stage in backbone.stages] == [3, 4, 14, 3]  # type: ignore[arg-type]
    assert backbone.taps == TABLE_S1
    assert shapes_of(out) == {side: (c, side, side) for side, c in TABLE_S1.items()}
    # Units are counted through: the taps come after numbers 6, 20 and 23.
    ends = torch.tensor([len(stage) for stage in backbone.stages]).cumsum(0) - 1  # type: ignore[arg-type]
    assert ends.tolist()[1:] == [6, 20, 23]
    # Two in each of 24 units, and the first: with the linear layer of a classifier these are the 50 of the name.
    convs = [part for part in backbone.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)]
    assert len(convs) == 49


def test_heads_of_table_s1(large: StyleGAN2) -> None:
    seen: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        neck = FPN(TABLE_S1)
        style, padding = Map2StyleHead(large, neck.taps), PaddingHead(large, neck.taps)
        shape_behind(padding.units, seen, "m")
        out = neck(meta_taps(TABLE_S1))
        wide: list[tuple[int, ...]] = []
        for layer in padding.extract:
            layer.register_forward_hook(lambda _, inputs, __: wide.append(tuple(inputs[0].shape[1:])))
        ws, pad = style(out), padding(out)
    assert shapes_of(out) == {side: (512, side, side) for side in (64, 32, 16)}
    assert isinstance(neck.top, nn.Identity)
    assert large.num_ws == 2 * int(math.log2(large.resolution)) - 2
    assert Counter(style.sides) == {16: 3, 32: 4, 64: large.num_ws - 7}
    assert style.sides == sorted(style.sides)
    assert shapes_of(ws) == {"ws": (large.num_ws, 512)}
    # log2 of the side, not one convolution more or less.
    depths = {
        side: sum(isinstance(part, nn.Conv2d) for part in block.modules())
        for side, block in zip(style.sides, style.blocks, strict=True)
    }
    assert depths == {16: 4, 32: 5, 64: 6}
    # Padding: the map at 32 px behind two units, four 1x1 convolutions, the finest of which sees 34 px.
    assert padding.side == 32 and len(padding.units) == 2
    assert seen["m"] == (512, 32, 32)
    assert [tuple(layer.weight.shape) for layer in padding.extract] == [(512, 512, 1, 1)] * 4  # type: ignore[arg-type]
    assert wide == [(512, r + 2, r + 2) for r in (4, 8, 16, 32)]
    assert isinstance(padding.project, nn.Identity)
    rings = {f"pad.b{r}.conv1": (512, 4 * (r + 1)) for r in (4, 8, 16, 32)}
    assert shapes_of(pad) == {"const": (512, 4, 4), **rings}
    assert sum(math.prod(shape) for shape in shapes_of(pad).values()) == 139_264


def test_rows_of_an_18_row_generator(largest: StyleGAN2) -> None:
    assert largest.num_ws == 18
    assert Counter(side_of_rows(TABLE_S1, 18)) == {16: 3, 32: 4, 64: 11}


def test_other_published_sizes(largest: StyleGAN2) -> None:
    with torch.device("meta"):
        # FeatureStyleEncoder: 960 channels, 3 x 3 means of each: 8640 numbers to every row; content from 256 x 32².
        every = IResNet50(channels=3, px=256, folder=None)
        assert every.taps == {128: 64, **TABLE_S1}
        pooled, content = PooledHead(largest, every.taps), ContentHead(largest, every.taps)
        assert pooled.rows.linear.weight.shape == (18 * 512, 8640)
        assert content.side == 32
        seen = every(torch.empty(1, 3, 256, 256))
        assert shapes_of(pooled(seen) | content(seen)) == {"ws": (18, 512), "f16": (512, 16, 16)}
        # BDInvert: 11 convolutions and 3 pools; 128 px give a feature of 16 px, 64 px one of 8 px.
        plain = Plain(channels=3, px=128, folder=None)
        tail = BaseCodeHead(largest, plain.taps)
        assert plain.taps == {16: 512}
        parts = [*plain.modules(), *tail.modules()]
        assert [sum(isinstance(part, kind) for part in parts) for kind in (nn.Conv2d, nn.AvgPool2d)] == [11, 3]
        assert shapes_of(tail(plain(torch.empty(1, 3, 128, 128)))) == {"f16": (512, 16, 16)}
        small = Plain(channels=3, px=64, folder=None)
        assert shapes_of(BaseCodeHead(largest, small.taps, size=8)(small(torch.empty(1, 3, 64, 64)))) == {
            "f8": (512, 8, 8)
        }
        # IDInvert: six halvings from 256 to 4 px, 512 channels there.
        residual = Residual(channels=3, px=256, folder=None)
        assert len(residual.blocks) == 6
        assert residual.taps == {16: 512, 8: 512, 4: 512}
        dense = DenseHead(largest, residual.taps)
        assert dense.rows.linear.weight.shape == (18 * 512, 512 * 4 * 4)
        assert shapes_of(dense(residual(torch.empty(2, 3, 256, 256)))) == {"ws": (18, 512)}
        # ReStyle: two pictures in, every row from 512 x 16².
        twice = IR50(channels=6, px=256, folder=None)
        last = LastHead(largest, twice.taps)
        assert {tuple(block.layers[0].weight.shape) for block in last.blocks} == {(512, 512, 3, 3)}  # type: ignore[index, union-attr]
        assert {len(block.layers) for block in last.blocks} == {2 * 4}  # type: ignore[arg-type]
        assert shapes_of(last(twice(torch.empty(1, 6, 256, 256)))) == {"ws": (18, 512)}


@pytest.mark.slow
def test_one_pass_at_256_px() -> None:
    with torch.no_grad():
        out = IR50(channels=3, px=256, folder=None).eval()(normal([0], (3, 256, 256)))
    assert shapes_of(out) == {side: (c, side, side) for side, c in TABLE_S1.items()}
    assert all(x.isfinite().all() and 0.01 < x.std() < 100 for x in out.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [IR18, IR50, IResNet50, Residual, Plain, PlainNarrow])
def test_taps_are_as_announced(kind: type[Backbone]) -> None:
    odd = [] if kind is Residual else [72, 50]
    for px in (16, 32, 128, *odd):
        with torch.device("meta"):
            backbone = kind(channels=6, px=px, folder=None).eval()
            out = backbone(torch.empty(2, 6, px, px))
        assert shapes_of(out) == {side: (c, side, side) for side, c in backbone.taps.items()}
        assert list(backbone.taps) == sorted(backbone.taps, reverse=True)


def test_pictures_that_are_too_small_or_of_a_wrong_side() -> None:
    for kind, px in ((IR50, 15), (Plain, 7), (Residual, 4), (Residual, 96)):
        with pytest.raises(ParamsError, match="input_px"):
            kind(channels=3, px=px, folder=None)


# --- sums by hand ----------------------------------------------------------------------------------------------------


def test_squeeze_excitation_by_hand() -> None:
    layer = SqueezeExcitation(32)
    x = normal([0, 1], (32, 3, 5))
    means = torch.tensor([[[float(x[n, c].sum() / 15)] for c in range(32)] for n in range(2)])[..., 0]
    hidden = (means @ layer.squeeze.weight[:, :, 0, 0].t()).clamp(min=0)
    assert hidden.shape == (2, 2)  # 32 / 16
    gate = 1 / (1 + (-hidden @ layer.excite.weight[:, :, 0, 0].t()).exp())
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_unit_goes_around_by_hand() -> None:
    """With the branch silenced (its last BN times zero) what is left is the way around."""
    x = normal([0], (4, 6, 6))
    for c_out, stride in ((4, 1), (4, 2), (8, 2)):
        unit = IRUnit(4, c_out, stride).eval()
        nn.init.zeros_(unit.branch[4].weight)
        wanted = x[:, :, ::stride, ::stride]
        if c_out != 4:
            weight = unit.around[0].weight  # type: ignore[index]
            wanted = torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], wanted) / math.sqrt(1 + 1e-5)
        torch.testing.assert_close(unit(x), wanted)


def test_iresnet50_is_arcfaces() -> None:
    """The release's list of parameters (arcface/iresnet.py), stage by stage, without its classifier."""
    with torch.device("meta"):
        backbone = IResNet50(channels=3, px=256, folder=None)
    shapes = [tuple(parameter.shape) for parameter in backbone.parameters()]
    wanted: list[tuple[int, ...]] = [(64, 3, 3, 3), (64,), (64,), (64,)]  # conv1, bn1, prelu
    c_in = 64
    for count, c in ((3, 64), (4, 128), (14, 256), (3, 512)):
        for i in range(count):
            conv1, conv2 = (c, c if i else c_in, 3, 3), (c, c, 3, 3)
            wanted += [conv1[1:2], conv1[1:2], conv1, (c,), (c,), (c,), conv2, (c,), (c,)]
            if i == 0:  # "downsample" where the stride is 2, which it is in every stage
                wanted += [(c, c_in, 1, 1), (c,), (c,)]
        c_in = c
    assert shapes == wanted


def test_arcface_unit_by_hand() -> None:
    x = normal(range(4), (3, 6, 6))
    unit = ArcFaceUnit(3, 3, 2).train()
    around, branch = unit.around, unit.branch

    def norm(values: Tensor) -> Tensor:
        mean, variance = values.mean(dim=(0, 2, 3), keepdim=True), values.var(dim=(0, 2, 3), keepdim=True, correction=0)
        return (values - mean) / (variance + 1e-5).sqrt()

    y = norm(F.conv2d(norm(x), branch[1].weight, padding=1))
    y = norm(F.conv2d(torch.where(y > 0, y, 0.25 * y), branch[4].weight, padding=1, stride=2))
    shortcut = norm(torch.einsum("oi,nihw->nohw", around[0].weight[:, :, 0, 0], x[..., ::2, ::2]))  # type: ignore[index]
    torch.testing.assert_close(unit(x), y + shortcut)
    assert isinstance(ArcFaceUnit(3, 3, 1).around, nn.Identity)


def test_pyramid_by_hand() -> None:
    neck = FPN({4: 3, 2: 2, 1: 5}, width=5)
    taps = random_taps({4: 3, 2: 2, 1: 5})
    out = neck(taps)
    assert neck.taps == {4: 5, 2: 5, 1: 5}
    torch.testing.assert_close(out[1], taps[1])

    def lateral(side: int) -> Tensor:
        layer = neck.lateral[str(side)]
        return torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], taps[side]) + layer.bias[:, None, None]

    middle = taps[1] + lateral(2)  # a single pixel is spread
    torch.testing.assert_close(out[2], middle)
    # Corners stay where they are, so that 2 px become 4 at thirds.
    steps = torch.tensor([[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]])
    torch.testing.assert_close(out[4], steps @ middle @ steps.t() + lateral(4))


def test_pyramid_width() -> None:
    assert FPN({8: 4, 4: 6}).taps == {8: 6, 4: 6}
    narrow = FPN({8: 4, 4: 6}, width=2)
    assert shapes_of(narrow(random_taps({8: 4, 4: 6}))) == {8: (2, 8, 8), 4: (2, 4, 4)}


def test_style_block() -> None:
    for side, depth in ((1, 0), (2, 1), (8, 3), (64, 6), (5, 3)):
        block = StyleBlock(3, side, 4, 7)
        assert sum(isinstance(part, nn.Conv2d) for part in block.modules()) == depth
        assert block(torch.ones(2, 3, side, side)).shape == (2, 7)
    # Zero convolutions with bias b: the linear layer sees b everywhere, at 1 / sqrt(4) of its stored weights.
    block = StyleBlock(3, 2, 4, 7)
    nn.init.zeros_(block.layers[0].weight)
    nn.init.constant_(block.layers[0].bias, -2.0)
    torch.testing.assert_close(block(torch.ones(1, 3, 2, 2))[0], -0.02 * block.linear.weight.sum(dim=1) / 2)


def test_rows_for_any_number_of_them() -> None:
    assert side_of_rows([64, 32, 16], 1) == [16]
    assert side_of_rows([16, 32, 64], 5) == [16, 16, 16, 32, 32]
    assert side_of_rows([64, 32, 16], 9) == [16] * 3 + [32] * 4 + [64] * 2
    assert side_of_rows([128, 64, 32, 16], 8)[-1] == 64  # the third from the coarse end, not the finest
    assert side_of_rows([32, 16], 9) == [16] * 3 + [32] * 6
    assert side_of_rows([8], 9) == [8] * 9


def test_nearest_tap_and_its_size() -> None:
    assert nearest([64, 32, 16], 32) == 32
    assert nearest([64, 16], 32) == 64
    assert nearest([8, 4], 32) == 8
    assert nearest([50, 25, 13], 16) == 13
    x = normal([0], (2, 8, 8))
    assert resized(x, 8) is x
    torch.testing.assert_close(resized(x, 4), F.avg_pool2d(x, 2))
    assert resized(x, 16).shape == (1, 2, 16, 16)


# --- heads -----------------------------------------------------------------------------------------------------------

TINY_TAPS = {16: 6, 8: 5, 4: 4}


def test_each_row_reads_its_own_map(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps(TINY_TAPS)
    head = Map2StyleHead(tiny_generator, TINY_TAPS, width=4)
    before = head(taps)["ws"]
    for side, rows in ((4, {0, 1, 2}), (8, {3, 4, 5, 6}), (16, {7})):
        moved = head({**taps, side: taps[side] + 1})["ws"]
        assert {i for i in range(tiny_generator.num_ws) if not torch.equal(moved[:, i], before[:, i])} == rows
    last = LastHead(tiny_generator, TINY_TAPS, width=4)
    one, other = last(taps)["ws"], last({**taps, 4: taps[4] + 1})["ws"]
    assert all(not torch.equal(one[:, i], other[:, i]) for i in range(tiny_generator.num_ws))
    assert torch.equal(last({**taps, 8: taps[8] + 1})["ws"], one)


def test_offsets_are_switched_on_one_by_one(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps(TINY_TAPS)
    head = ProgressiveHead(tiny_generator, TINY_TAPS, width=4, first=100, every=10)

    def rows_that_differ() -> list[int]:
        ws = head(taps)["ws"]
        return [i for i in range(tiny_generator.num_ws) if not torch.equal(ws[:, i], ws[:, 0])]

    assert rows_that_differ() == []
    for step, count in ((0, 0), (99, 0), (100, 1), (109, 1), (110, 2), (129, 3), (160, 7), (10**6, 7)):
        head.at_step(step)
        assert rows_that_differ() == list(range(1, count + 1)), step
    w, second = head(taps)["ws"][:, :2].unbind(1)
    torch.testing.assert_close(second - w, head.blocks[1](taps[4]))
    # Training that goes on from these weights takes nothing away.
    head.at_step(0)
    assert len(rows_that_differ()) == 7


def test_restyle_over_e4e_reads_the_coarsest_map(tiny_generator: MobileStyleGAN) -> None:
    """ReStyle's release: row 0 is the first block's, every other one the sum with its own block, all of one map."""
    taps = random_taps(TINY_TAPS)
    head = ProgressiveHead(tiny_generator, TINY_TAPS, width=4, first=0, every=1, coarsest=True)
    head.at_step(2)  # three offsets
    blocks = [block(taps[4]) for block in head.blocks]
    wanted = [blocks[0], *(blocks[0] + block for block in blocks[1:4]), *[blocks[0]] * (tiny_generator.num_ws - 4)]
    torch.testing.assert_close(head({4: taps[4]})["ws"], torch.stack(wanted, dim=1))
    assert head.distinct_rows == 4


def test_a_head_that_grows_is_kept_as_it_is(tiny_generator: MobileStyleGAN) -> None:
    head, other = (ProgressiveHead(tiny_generator, TINY_TAPS, width=4, first=10, every=5) for _ in range(2))
    head.at_step(15)
    assert head.state_dict()["enabled"] == 2
    other.load_state_dict(head.state_dict())
    taps = random_taps(TINY_TAPS)
    assert torch.equal(other(taps)["ws"], head(taps)["ws"])
    for bad in ({"first": -1}, {"every": 0}):
        with pytest.raises(ParamsError, match="head progressive"):
            ProgressiveHead(tiny_generator, TINY_TAPS, **bad)


def test_pooled_rows_by_hand(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps({6: 2, 3: 1})
    head = PooledHead(tiny_generator, {6: 2, 3: 1})
    means = torch.cat([F.avg_pool2d(taps[6], 2).flatten(1), taps[3].flatten(1)], dim=1)
    assert means.shape == (2, 27)
    w_dim = tiny_generator.w_dim
    linear = head.rows.linear
    for row in (0, 3):
        own = slice(row * w_dim, (row + 1) * w_dim)
        torch.testing.assert_close(head(taps)["ws"][:, row], means @ linear.weight[own].t() + linear.bias[own])
    assert PooledHead(tiny_generator, {6: 2, 3: 1}, code=5)(taps)["ws"].shape == (2, tiny_generator.num_ws, w_dim)


def test_dense_rows(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps(TINY_TAPS, n=4)
    head = DenseHead(tiny_generator, TINY_TAPS)
    ws = head.train()(taps)["ws"]
    torch.testing.assert_close(ws.mean(dim=0), torch.zeros_like(ws[0]), atol=1e-5, rtol=0)
    bare = DenseHead(tiny_generator, TINY_TAPS, norm=False)
    torch.testing.assert_close(bare(taps)["ws"].flatten(1), bare.rows.linear(taps[4].flatten(1)))


def test_feature_heads_read_the_tap_that_fits(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps(TINY_TAPS)
    for size, side in ((16, 16), (8, 8), (32, 16)):
        head = FeatureHead(tiny_generator, TINY_TAPS, size=size, width=4)
        assert head.side == side
        (channels,) = {point.shape[0] for point in tiny_generator.feature_points if point.shape[1] == size}
        assert shapes_of(head(taps)) == {f"f{size}": (channels, size, size)}
        assert isinstance(head.layers[-1], nn.Conv2d)
    assert ContentHead(tiny_generator, TINY_TAPS, size=8, width=4).side == 16
    for kind in (FeatureHead, BaseCodeHead, ContentHead):
        with pytest.raises(UnsupportedError, match="no feature of 64 px"):
            kind(tiny_generator, TINY_TAPS, size=64)


def test_padding_is_the_middle_of_one_map(tiny_generator: MobileStyleGAN) -> None:
    """Without units, with projections that copy: everything is a crop of the tap, enlarged as a whole."""
    channels = 16  # of all convolutions of the tiny generator
    head = PaddingHead(tiny_generator, {32: channels}, units=0)
    own = head.own
    assert torch.equal(own, tiny_generator.const)
    m = normal([0], (channels, 32, 32))
    prediction = head({32: m})
    assert torch.equal(prediction["const"], own)
    rings = {name: value for name, value in prediction.items() if name != "const"}
    assert len(rings) == 4 and all(not value.any() for value in rings.values())
    # The crops themselves.
    nn.init.ones_(head.gain)
    copies = [layer for layer, conv in zip(head.extract, head.convs, strict=True) if conv.channels == channels]
    assert len(copies) >= 3
    for layer in copies:
        layer.weight.data.copy_(torch.eye(channels)[:, :, None, None])
    prediction = head({32: m})
    torch.testing.assert_close(prediction["const"], own + m[:, :, 14:18, 14:18])
    wide = F.interpolate(m, size=(34, 34), mode="bicubic", align_corners=True)
    torch.testing.assert_close(wide[..., 0, 0], m[..., 0, 0])  # corners stay
    for conv in head.convs:
        if conv.channels == channels:
            r, first = conv.resolution, (32 - conv.resolution) // 2
            crop = wide[:, :, first : first + r + 2, first : first + r + 2].clone()
            crop[:, :, 1:-1, 1:-1] = 0
            torch.testing.assert_close(map_of(prediction[f"pad.{conv.name}"]), crop)


def test_padinv_crops_its_input_from_the_enlarged_map(tiny_generator: MobileStyleGAN) -> None:
    """PadInv's release: bicubic from 32 to 34 px with aligned corners, then the middle 4 x 4."""
    channels = 16
    head = PaddingHead(tiny_generator, {32: channels}, units=0, input_from="enlarged")
    nn.init.ones_(head.gain)
    m = normal([0], (channels, 32, 32))
    # Weights of the cubic with a = -0.75 at positions x = 31 i / 33, for the four pixels around each.
    weights = torch.zeros(34, 32)
    for i in range(34):
        x = 31 * i / 33
        for j in range(math.floor(x) - 1, math.floor(x) + 3):
            t = abs(x - j)
            near, far = 1.25 * t**3 - 2.25 * t**2 + 1, -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
            weights[i, min(max(j, 0), 31)] += near if t <= 1 else far
    enlarged = weights @ m @ weights.t()
    torch.testing.assert_close(head({32: m})["const"], head.own + enlarged[:, :, 15:19, 15:19], rtol=0, atol=1e-5)
    with pytest.raises(ParamsError, match="input_from"):
        PaddingHead(tiny_generator, {32: channels}, input_from="middle")  # type: ignore[arg-type]


def test_bdinvert_starts_with_the_gain_of_relu(tiny_generator: MobileStyleGAN) -> None:
    """Its release: Kaiming normal over the outputs without the slope, variance 2 / (9 outputs)."""
    backbone = Plain(channels=3, px=64, folder=None)
    head = BaseCodeHead(tiny_generator, backbone.taps, size=8)
    kernels = [part.weight.detach() for part in [*backbone.modules(), *head.modules()] if isinstance(part, nn.Conv2d)]
    assert len(kernels) == 11
    for kernel in kernels:
        assert float(kernel.std()) == pytest.approx(math.sqrt(2 / (9 * len(kernel))), rel=5 / math.sqrt(kernel.numel()))


def test_padding_from_other_sizes(tiny_generator: MobileStyleGAN) -> None:
    taps = random_taps(TINY_TAPS)
    for width in (0, 4, 16):
        head = PaddingHead(tiny_generator, TINY_TAPS, units=1, width=width)
        assert head.side == 16  # the nearest to 32
        assert isinstance(head.project, nn.Identity) == (width != 4)
        nn.init.ones_(head.gain)
        for layer in head.extract:
            nn.init.normal_(layer.weight)
        prediction = head(taps)
        assert prediction["const"].shape == (2, *tiny_generator.const.shape[1:])
        assert {name: value.shape[1] for name, value in prediction.items() if name != "const"} == {
            f"pad.{conv.name}": conv.channels for conv in head.convs
        }
    assert "own" not in head.state_dict()

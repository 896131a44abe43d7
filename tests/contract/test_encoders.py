"""What every backbone and every head guarantees, whatever the generator."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError, ParamsError, UnsupportedError
from ganvert.checkpoints.weights import read_weights
from ganvert.compute.random import normal
from ganvert.encoders import BACKBONES, HEADS, Encoder, EncoderSpec, Prediction, load_encoder
from ganvert.faces.parsing import load_parser
from ganvert.generators import Generator, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.losses.lpips import load_lpips
from ganvert.spaces import make_space

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoints"
FILES = (
    "A2_ada_skip_w64_map8.pkl",
    "A4_ada_resnet.pkl",
    "C1_genforce_stylegan1_64.pth",
    "C3_idinvert_stylegan1_128.pth",
    "D1_stylegan3_t.pkl",
)

#: Every head with the space of its prediction, on a fast backbone.
ON_ANY_HEAD: dict[str, dict[str, Any]] = {
    "base_code": {"space": "f8/wplus", "backbone": "plain_narrow", "options": {"size": 8}},
    "compact": {
        "space": "wplus",
        "backbone": "residual",
        "px": 16,
        "options": {"width": 8, "code": 16, "narrow": 4, "drop": 0.0},
    },
    "consultation": {
        "space": "c32/wplus",
        "options": {"size": 32, "width": 4, "widths": [[4, 4, 6], [4, 4, 4, 4]]},
        "beside": {"single": {}},  # it reads nothing of the backbone
    },
    "content": {"space": "fs8/wplus", "neck": "fpn", "options": {"size": 8, "width": 8}},
    "dense": {"space": "wplus", "backbone": "residual", "px": 32},
    "feature": {"space": "f16/zplus", "neck": "fpn", "options": {"size": 16, "width": 8}},
    "fused": {"space": "wplus", "pixels": 4, "options": {"code": 8, "narrow": 4}},
    "grid": {"space": "wplus", "options": {"code": 8}},
    "identity": {
        "space": "wplus",
        "backbone": "vgg",
        "descriptor": "dlib",
        "options": {"code": 8, "narrow": 4},
    },
    "last": {"space": "wplus", "options": {"width": 8}},
    "map2style": {"space": "wplus", "neck": "fpn", "options": {"width": 8}},
    "padding": {"space": "pad/wplus", "neck": "fpn", "options": {"width": 16, "units": 1}},
    "pooled": {"space": "wplus", "options": {"code": 8}},
    "progressive": {"space": "wplus", "neck": "fpn", "options": {"width": 8, "first": 0, "every": 1}},
    "refined": {"space": "fs16/wplus", "pixels": 4, "options": {"width": 8}},
    "single": {"space": "w"},
    "thirds": {"space": "wplus", "options": {"widths": [[8], [8, 4], [8]]}},
}

#: Every backbone with a head that fits: (head, its options, neck, px).
ON_ANY_BACKBONE: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "blaze": ("thirds", {"widths": [[8], [8], [8]]}, "none", 32),
    "ir18": ("map2style", {"width": 8}, "fpn", 64),
    "ir50": ("map2style", {"width": 8}, "fpn", 32),
    "iresnet50": ("pooled", {"code": 8}, "none", 32),
    "parsing": ("map2style", {"width": 8}, "fpn", 64),
    "parsing_frozen": ("compact", {"width": 8, "code": 16}, "none", 128),
    "plain": ("base_code", {"size": 8, "width": 8}, "none", 32),
    "plain_narrow": ("feature", {"size": 8, "width": 8}, "none", 64),
    "residual": ("last", {"width": 8}, "none", 16),
    "resnet34": ("single", {}, "none", 32),
    "vgg": ("compact", {"width": 8, "code": 16}, "none", 64),
}
SPACE_OF = {"base_code": "f8/wplus", "feature": "f8/wplus"}

SPECS: dict[str, EncoderSpec] = {
    **{
        f"head {name}": EncoderSpec(
            space=case["space"],
            backbone=case.get("backbone", "ir18"),
            neck=case.get("neck", "none"),
            descriptor=case.get("descriptor", "none"),
            pixels=case.get("pixels", 0),
            heads={name: case.get("options", {}), **case.get("beside", {})},
            input_px=case.get("px", 64),
        )
        for name, case in ON_ANY_HEAD.items()
    },
    **{
        f"backbone {name}": EncoderSpec(
            space=SPACE_OF.get(head, "wplus"), backbone=name, neck=neck, heads={head: options}, input_px=px
        )
        for name, (head, options, neck, px) in ON_ANY_BACKBONE.items()
    },
    # As published, narrow: PadInv, FeatureStyleEncoder.
    "padinv": EncoderSpec(
        space="pad/wplus",
        backbone="ir18",
        neck="fpn",
        heads={"map2style": {"width": 8}, "padding": {"width": 16, "units": 1}},
        input_px=64,
    ),
    "fse": EncoderSpec(
        space="fs16/wplus",
        backbone="ir18",
        heads={"pooled": {"code": 8}, "content": {"size": 16, "width": 8}},
        input_px=64,
    ),
}


#: Backbones whose weights are an asset.
OF_ASSETS = ("parsing", "parsing_frozen", "vgg")
#: The same classes as others, in their published sizes.
LARGE = ("ir50", "iresnet50", "plain", "resnet34")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if spec.backbone in LARGE else ()) for name, spec in SPECS.items()
    ],
)
def encoder(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Encoder:
    spec = SPECS[request.param]
    encoder = Encoder(spec, tiny_generator, folder_of(request, spec), seed=3)
    wake(encoder)
    return encoder.eval()


def folder_of(request: pytest.FixtureRequest, spec: EncoderSpec) -> Path | None:
    wanted = spec.backbone in OF_ASSETS or spec.descriptor != "none"
    return request.getfixturevalue("assets") if wanted else None


def wake(encoder: Encoder) -> None:
    """Bring it into a state as after training: no layer is zero, all rows are enabled, BN has statistics."""
    encoder.at_step(10**6)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        encoder.train()
        encoder(pictures(encoder, 6))


def pictures(encoder: Encoder, n: int) -> Tensor:
    return normal(range(n), (3, encoder.input_px, encoder.input_px)).mul(0.5).clamp(-1, 1)


def wanted_shapes(generator: Generator, space: str) -> dict[str, tuple[int, ...]]:
    """Return every part that a prediction of a space may have, name to shape."""
    over = space.rpartition("/")[0]
    wanted = {"ws": (generator.num_ws, generator.w_dim)}
    if over:
        own = make_space(space, generator).own_shapes  # type: ignore[attr-defined]
        wanted |= {over.replace("fs", "f") if name == "f" else name: shape for name, shape in own.items()}
    return wanted


def check(prediction: Prediction, generator: Generator, space: str, n: int) -> None:
    wanted = wanted_shapes(generator, space)
    assert set(prediction) <= set(wanted)
    assert len(prediction) > 1 or set(prediction) != {"const"}
    for name, value in prediction.items():
        assert tuple(value.shape) == (n, *wanted[name]), name
        assert value.dtype == torch.float32 and value.isfinite().all()


def test_every_part_is_tried() -> None:
    assert set(ON_ANY_HEAD) == set(HEADS)
    assert set(ON_ANY_BACKBONE) == set(BACKBONES)


def test_prediction_is_a_code_that_can_be_drawn(encoder: Encoder, tiny_generator: MobileStyleGAN) -> None:
    prediction = encoder.encode(pictures(encoder, 2))
    check(prediction, tiny_generator, encoder.space, 2)
    space = make_space(encoder.space, tiny_generator)
    code = space.adopt(prediction, [0, 1])
    space.check(code)
    assert tiny_generator.synthesize(space.decode(code)).isfinite().all()


@pytest.mark.slow
def test_images_of_any_size(encoder: Encoder) -> None:
    first, second = (encoder.encode(torch.full((1, 3, side, side), 0.25)) for side in (2 * encoder.input_px, 24))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-3, atol=1e-3)


def test_every_parameter_learns(encoder: Encoder) -> None:
    encoder.train()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    try:
        prediction = encoder(pictures(encoder, 3))
        # Weighted at random: what ends in BN sums to a constant.
        sum((value * normal([7], value.shape)[0]).sum() for value in prediction.values()).backward()  # type: ignore[union-attr]
        silent = [name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.any()]
        assert silent == []
    finally:
        encoder.zero_grad(set_to_none=True)
        encoder.load_state_dict(state)
        encoder.eval()


def test_a_prediction_does_not_depend_on_the_batch(encoder: Encoder) -> None:
    images = pictures(encoder, 3)
    batch = encoder.encode(images)
    for i in range(3):
        for name, value in encoder.encode(images[i : i + 1]).items():
            scale = float(batch[name].abs().max()) + 1e-6
            assert float((value[0] - batch[name][i]).abs().max()) <= 1e-4 * scale, name


def test_weights_file(
    encoder: Encoder, tiny_generator: MobileStyleGAN, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "encoder.safetensors"
    encoder.save(path, "a test")
    loaded = load_encoder(path, tiny_generator, folder_of(request, encoder.spec))
    assert loaded.spec == encoder.spec
    assert not any(value.requires_grad for value in loaded.parameters())
    kept, given = loaded.trained_state(), encoder.trained_state()
    assert set(kept) == set(given)
    for name, value in given.items():
        assert torch.equal(kept[name], value.half().float() if value.is_floating_point() else value), name
    images = pictures(encoder, 1)
    read = loaded.encode(images)
    for name, value in encoder.encode(images).items():
        assert float((read[name] - value).abs().max()) <= 0.05 * float(value.abs().max()), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_ANY_HEAD)
def test_weights_are_those_of_the_seed(
    name: str, request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN
) -> None:
    spec = SPECS[f"head {name}"]
    load_lpips.cache_clear()  # what the first of them loads must not change its own weights
    load_parser.cache_clear()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, second, other = (Encoder(spec, tiny_generator, folder_of(request, spec), seed=s) for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()


def test_file_of_other_heads(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """Tensors that do not fit what the file says it is."""
    path = tmp_path / "encoder.safetensors"
    wrong = Encoder(SPECS["head last"], tiny_generator)
    wrong.spec = SPECS["head pooled"]
    wrong.save(path, "a test")
    with pytest.raises(CheckpointError, match="tensors do not fit"):
        load_encoder(path, tiny_generator)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in BACKBONES]
)
def test_backbones_take_two_images(name: str, request: pytest.FixtureRequest) -> None:
    kind = BACKBONES[name]
    folder = request.getfixturevalue("assets") if name in OF_ASSETS else None
    backbone = kind(channels=6, px=32, folder=folder).eval()
    images = normal([0], (6, 32, 32))
    with torch.no_grad():
        out = backbone(images)
        other = backbone(torch.cat([images[:, :3], -images[:, 3:]], dim=1))
    assert {side: tuple(x.shape) for side, x in out.items()} == {
        side: (1, channels, side, side) for side, channels in backbone.taps.items()
    }
    assert all(not torch.equal(x, other[side]) for side, x in out.items())
    assert list(out) == sorted(out, reverse=True)
    assert kind.frozen == (not list(backbone.parameters()))


@pytest.fixture(scope="module", params=FILES)
def any_generator(request: pytest.FixtureRequest) -> Generator:
    generator = load_generator(GOLDEN / request.param)
    generator.label = 1 if generator.label_dim else None
    return generator


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_sized_by_the_generator(name: str, any_generator: Generator) -> None:
    case = ON_ANY_HEAD[name]
    kinds: dict[str, dict[int, int]] = {"maps": {16: 6, 8: 5, 4: 4}, "descriptor": {1: 6}}
    kinds |= {"all": kinds["maps"] | kinds["descriptor"], "pictures": kinds["maps"] | {32: 3}, "image": {64: 3}}
    taps = kinds[HEADS[name].reads]
    space = case["space"].replace("zplus", "wplus")
    try:
        make_space(space, any_generator)
    except UnsupportedError:
        with pytest.raises(UnsupportedError, match=any_generator.architecture):
            HEADS[name](any_generator, taps, **case.get("options", {}))
        return
    head = HEADS[name](any_generator, taps, **case.get("options", {})).eval()
    head.at_step(10**6)
    with torch.no_grad():
        prediction = head({side: normal([0, 1], (c, side, side)) for side, c in taps.items()})
    check(prediction, any_generator, space, 2)
    if "ws" in prediction:
        prediction["ws"] = prediction["ws"] + any_generator.w_avg
    whole = make_space(space, any_generator)
    code = whole.adopt(prediction, [0, 1])
    whole.check(code)
    assert any_generator.synthesize(whole.decode(code)).isfinite().all()


def test_padding_starts_at_the_generator_as_it_is(tiny_generator: MobileStyleGAN) -> None:
    encoder = Encoder(SPECS["head padding"], tiny_generator)
    space = make_space("pad/wplus", tiny_generator)
    code = space.adopt(encoder.encode(pictures(encoder, 1)), [0])
    mean = tiny_generator.w_avg.expand(1, tiny_generator.num_ws, -1)
    wanted = space.from_ws(mean)
    assert set(code) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(code[name], value)


def test_passes_need_rows_to_correct(tiny_generator: MobileStyleGAN) -> None:
    spec = EncoderSpec(space="f16/wplus", backbone="ir18", heads={"feature": {}}, input_px=32, passes=2)
    with pytest.raises(ParamsError, match=r"every pass corrects the rows .* the heads predict f16"):
        Encoder(spec, tiny_generator)


def test_options_that_a_head_does_not_have(tiny_generator: MobileStyleGAN) -> None:
    spec = EncoderSpec(backbone="ir18", heads={"last": {"widht": 8}}, input_px=32)
    with pytest.raises(ParamsError, match=r"head last: .*widht"):
        Encoder(spec, tiny_generator)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"passes": 10**9}, "passes of 1 to 100"),
        ({"input_px": 60_000}, "input_px: wanted 8 to 4096, got 60000"),
        ({"heads": {"last": {"width": 10**6}}}, "width is 1000000, but no tensor of the file is that large"),
        ({"heads": {"thirds": {"widths": [[8], [10**9], [8]]}}}, "a width is 1000000000, but no tensor"),
        ({"heads": {"thirds": {"widths": [[8], [], [8]]}}}, "positive widths for each of three thirds"),
        ({"heads": {"last": {"width": None}}}, "not an encoder that can be built"),
        ({"heads": {"last": {"width": "x"}}}, "not an encoder that can be built"),
        ({"heads": {"last": {"width": float("nan")}}}, "wanted a number that is finite"),
        ({"heads": {"last": None}}, "wanted a mapping"),
        ({"space": []}, "wanted str"),
    ],
)
def test_a_file_whose_architecture_is_odd_is_refused(
    changes: dict[str, Any], says: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    encoder = Encoder(EncoderSpec(backbone="ir18", heads={"last": {"width": 8}}, input_px=32), tiny_generator)
    facts = {"kind": "encoder", "generator": tiny_generator.fingerprint()}
    spec = dataclasses.asdict(encoder.spec) | changes
    save_file(encoder.trained_state(), tmp_path / "e.safetensors", facts | {"encoder": json.dumps(spec)})
    with pytest.raises(CheckpointError, match=says):
        load_encoder(tmp_path / "e.safetensors", tiny_generator)


def test_encoders_that_are_not_finite_are_refused(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder = Encoder(EncoderSpec(backbone="ir18", heads={"last": {"width": 8}}, input_px=32), tiny_generator)
    next(iter(encoder.heads.parameters())).data.fill_(float("nan"))
    encoder.save(tmp_path / "e.safetensors", "a test")
    with pytest.raises(CheckpointError, match="wanted finite numbers"):
        load_encoder(tmp_path / "e.safetensors", tiny_generator)


def test_encoders_whose_weights_are_integers_are_refused(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder = Encoder(EncoderSpec(backbone="ir18", heads={"last": {"width": 8}}, input_px=32), tiny_generator)
    path = tmp_path / "e.safetensors"
    encoder.save(path, "a test")
    state, metadata = read_weights(path)
    name = next(name for name in state if name.endswith("running_mean"))
    save_file({**state, name: state[name].long()}, path, metadata)
    with pytest.raises(CheckpointError, match=r"running_mean: wanted torch.float32, got torch.int64"):
        load_encoder(path, tiny_generator)


def test_parts_are_what_is_predicted(encoder: Encoder) -> None:
    assert encoder.parts == set(encoder.encode(pictures(encoder, 1)))

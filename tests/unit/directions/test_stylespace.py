"""StyleSpace: planted channels are found by scores, by exemplars and by where they act; edits move them alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base import params
from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.directions import DIRECTIONS, Direction, choose
from ganvert.directions.base import FinderInputs, Samples
from ganvert.directions.face_parts import PARTS, label_samples, parts_of
from ganvert.directions.stylespace import Channels, StyleSpaceOptions, find_stylespace, relevance
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.faces.parsing import CLASSES
from ganvert.generators import Generator
from ganvert.generators.base import StyleSlot
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

SIDE, WIDTH = 32, 12


def options(**changes: Any) -> StyleSpaceOptions:
    return params.build(StyleSpaceOptions, {"components": 1, "images": 2, **changes}, "stylespace")


def samples_of(generator: Generator, count: int = 400) -> Samples:
    z = normal(range(count), (generator.z_dim,))
    w = generator.map_to_w(z).double().numpy()
    return Samples(z=z.double().numpy(), w=w, scores={}, num_ws=generator.num_ws)


def styles_of(generator: Generator, w: np.ndarray) -> dict[str, np.ndarray]:
    ws = torch.from_numpy(w).float()[:, None].expand(-1, generator.num_ws, -1)
    return {name: value.double().numpy() for name, value in generator.styles(ws).items()}


def code_in(name: str, generator: Generator, seed: int) -> Code:
    space = make_space(name, generator)
    variables = {key: value.clone() for key, value in space.from_random([seed]).items()}
    return Code(image_id=f"{seed}", method="mine", bind=lambda: space, variables=variables)


def test_statistics_are_those_of_all_samples(tiny_generator: MobileStyleGAN) -> None:
    samples = samples_of(tiny_generator, 1200)  # more than one chunk
    channels = Channels.of(tiny_generator, samples.w)
    values = np.concatenate(list(styles_of(tiny_generator, samples.w).values()), axis=1)
    assert channels.mean == pytest.approx(values.mean(axis=0), abs=1e-6)
    assert channels.std == pytest.approx(values.std(axis=0, ddof=1), rel=1e-5)
    last = channels.slots[-1]
    assert channels.place(channels.number(last.name, 2)) == (last, 2)


@pytest.mark.parametrize("low", [False, True])
def test_a_planted_channel_is_found_by_its_score(low: bool, tiny_generator: MobileStyleGAN) -> None:
    samples = samples_of(tiny_generator)
    planted = styles_of(tiny_generator, samples.w)["layers.1.conv2"][:, 5]
    score = planted + 0.02 * planted.std() * np.random.default_rng(0).normal(size=len(planted))
    score[::7] = np.nan  # no face was found
    inputs = FinderInputs(samples=Samples(**{**vars(samples), "scores": {"smile": score}}), generator=tiny_generator)
    (found,) = find_stylespace(inputs, options(attributes={"smile": {"low": low}}))
    assert (found.name, found.space) == ("stylespace_smile_0", "s")
    assert (found.quality["slot"], found.quality["channel"]) == ("layers.1.conv2", 5)
    # A positive amount goes to where the exemplars are.
    assert found.vector.sum() == (-1 if low else 1) and np.count_nonzero(found.vector) == 1
    assert found.unit == pytest.approx(planted.std(ddof=1), rel=1e-5)
    assert found.quality["exemplars"] == max(int(np.isfinite(score).sum() * 0.05), 10)


def test_a_planted_channel_is_found_by_exemplars(tiny_generator: MobileStyleGAN) -> None:
    """Codes of photographs, of which only one style is alike; rows behind a feature map say nothing."""
    codes = [code_in("s", tiny_generator, seed) for seed in range(8)]
    for code in codes:
        code.variables["layers.2.conv2"][:, 4] = -30 + 0.01 * int(code.image_id)
    hidden = [code_in("f16/wplus", tiny_generator, seed) for seed in range(8)]
    given = FinderInputs(
        samples=samples_of(tiny_generator),
        generator=tiny_generator,
        codes=codes,  # type: ignore[arg-type]
        photographs={code.image_id: None for code in codes},  # type: ignore[misc]
    )
    wanted = options(attributes={"beard": {"photographs": [f"{i}.jpg" for i in range(8)]}}, codes="mine")
    assert DIRECTIONS["stylespace"].needs_with(wanted) == ["generator", "codes", "photographs"]
    (found,) = find_stylespace(given, wanted)
    assert (found.quality["slot"], found.quality["channel"]) == ("layers.2.conv2", 4)
    assert found.vector.sum() == -1
    (found,) = find_stylespace(FinderInputs(**{**vars(given), "codes": hidden}), wanted)
    assert found.first_row >= hidden[0].space.first_coded


def test_relevance_is_the_mean_in_its_own_spread() -> None:
    scores, signs = relevance(np.array([[1.0, -4.0, 2.0], [3.0, -4.0, -2.0]]))
    assert scores == pytest.approx([2, 0, 0]) and list(signs) == [1, -1, 0]


def half(part: str, other: str) -> np.ndarray:
    labels = np.full((512, 512), CLASSES.index(part), dtype=np.uint8)
    labels[:, 256:] = CLASSES.index(other)
    return labels


def drawing_generator() -> Any:
    """A generator whose channel c draws a column, c < 6 in the left half; channel 3 is five times as strong."""
    slot = StyleSlot("all", WIDTH, 0, SIDE)
    columns = torch.zeros(WIDTH, SIDE)
    for c in range(WIDTH - 1):
        columns[c, c if c < 6 else SIDE // 2 + c] = 1.0
    columns[3] *= 5
    columns[-1] = 1.0  # acts everywhere

    def synthesize(
        *, ws: Tensor | None = None, styles: dict[str, Tensor] | None = None, px: int | None = None
    ) -> Tensor:
        values = styles["all"] if styles is not None else ws[:, 0]  # type: ignore[index]
        return (values @ columns)[:, None, None].expand(-1, 3, SIDE, SIDE)

    return SimpleNamespace(
        num_ws=1,
        resolution=SIDE,
        w_avg=torch.zeros(WIDTH),
        style_layout=(slot,),
        styles=lambda ws: {"all": ws[:, 0]},
        synthesize=synthesize,
    )


def drawn_inputs(labels: np.ndarray) -> FinderInputs:
    w = np.random.default_rng(0).normal(size=(200, WIDTH))
    # The score follows a channel of the right half most, and one of the left half less.
    samples = Samples(z=w, w=w, scores={"smile": w[:, 8] + 0.9 * w[:, 2]}, num_ws=1)
    parser: Any = SimpleNamespace(labels=lambda image: labels)
    return FinderInputs(samples=samples, generator=drawing_generator(), parser=parser)


def test_channels_are_found_where_they_act() -> None:
    given = drawn_inputs(half("skin", "hair"))
    free, local = {"smile": {}}, {"smile": {"region": "skin"}}
    first = [find_stylespace(given, options(attributes=wanted))[0].quality["channel"] for wanted in (free, local)]
    assert first == [8, 2]
    strongest, second = find_stylespace(given, options(regions=["skin"], components=2))
    assert strongest.quality["channel"] == 3 and second.quality["channel"] < 6
    assert strongest.quality["region"] == "skin" and strongest.quality["region_share"] == pytest.approx(1)
    assert strongest.quality["strength"] > 2 * second.quality["strength"]
    (hair,) = find_stylespace(given, options(regions=["hair"]))
    assert 6 <= hair.quality["channel"] < WIDTH - 1  # the last one acts in both halves
    with pytest.raises(ParamsError, match="stylespace hat: 0 channels act there alone, wanted 1"):
        find_stylespace(given, options(regions=["hat"]))


def test_the_estimate_of_derivatives_has_no_bias() -> None:
    """The channel that acts everywhere has a half of its squared derivatives in each half, and the exact sum."""
    from ganvert.directions.stylespace import _changes

    given = drawn_inputs(half("skin", "hair"))
    assert given.generator is not None
    wanted = options(regions=["skin"], images=20, probes=20)
    changes = _changes(given.generator, given.samples.w, given, wanted)
    exact = 3 * SIDE * SIDE / 2 / (3 * SIDE * SIDE)
    for part in ("skin", "hair"):
        assert changes[PARTS.index(part), -1] == pytest.approx(exact, rel=0.25)  # 400 squares of a normal number
    assert not changes[PARTS.index("hair"), :6].any()


def test_every_pixel_belongs_to_one_part() -> None:
    labels = np.arange(len(CLASSES), dtype=np.uint8).repeat(28)[:512][None].repeat(512, axis=0)
    parts = parts_of(labels, 512)
    names = dict(zip(CLASSES, (PARTS[parts[0, 28 * i]] for i in range(len(CLASSES) - 1)), strict=False))
    assert names["u_lip"] == names["mouth"] == "mouth" and names["skin"] == "skin" and names["earring"] == "ears"
    small = parts_of(half("skin", "hair"), 8)
    assert small.shape == (8, 8) and (small[:, :4] == PARTS.index("skin")).all()


def test_samples_without_a_face_are_passed_over() -> None:
    faces = iter([half("background", "hat"), half("skin", "hair"), half("background", "hat"), half("skin", "hair")])
    parser: Any = SimpleNamespace(labels=lambda image: next(faces))
    w = np.arange(4 * WIDTH, dtype=float).reshape(4, WIDTH)
    chosen, labels = label_samples(drawing_generator(), w, parser, 2)
    assert np.array_equal(chosen, w[[1, 3]]) and len(labels) == 2
    parser.labels = lambda image: half("background", "hat")
    with pytest.raises(ParamsError, match="wanted 1 samples that show a face, got 0 of 4"):
        label_samples(drawing_generator(), w, parser, 1)


def channel_direction(generator: Generator, slot: str, channel: int, unit: float = 1.0) -> Direction:
    """A channel's direction, whose statistics do not matter."""
    channels = Channels.of(generator, samples_of(generator, 50).w)
    found = channels.direction(generator, "mine", channels.number(slot, channel), 1, {})
    return Direction(**{**vars(found), "unit": unit})


@pytest.mark.parametrize("name", ["z", "zplus", "zplusplus", "w", "wplus", "s", "pn", "f16/wplus", "pad/wplus"])
def test_an_edit_moves_its_channel_alone(name: str, tiny_generator: MobileStyleGAN) -> None:
    code, direction = code_in(name, tiny_generator, 3), channel_direction(tiny_generator, "layers.2.conv2", 3)
    before = code.synthesis_input()
    after = EDITS["shift"].apply(EditInputs(code=code, directions=[(direction, 1.0)]), 2.5)
    old, new = tiny_generator.resolve_styles(before), tiny_generator.resolve_styles(after)
    for slot, value in new.items():
        change = value - old[slot]
        if slot == "layers.2.conv2":
            assert float(change[0, 3]) == pytest.approx(2.5, abs=1e-5)
            change[0, 3] = 0
        assert float(change.abs().max()) < 1e-5
    assert (before.features is None) == (after.features is None)


def test_channels_and_rows_move_together(tiny_generator: MobileStyleGAN) -> None:
    code, channel = code_in("wplus", tiny_generator, 3), channel_direction(tiny_generator, "layers.0.conv2", 1)
    whole = Direction("age", "w", "mine", np.eye(16)[2], 0.7, 0, 8)
    together = EDITS["shift"].apply(EditInputs(code=code, directions=[(channel, 1.0), (whole, 2.0)]), 1.5)
    ws = code.variables["ws"].clone()
    ws[..., 2] += 0.7 * 2 * 1.5
    wanted = dict(tiny_generator.styles(ws))
    wanted["layers.0.conv2"] = wanted["layers.0.conv2"] + 1.5 * torch.eye(16)[1]
    picture = tiny_generator.synthesize(together)
    torch.testing.assert_close(picture, tiny_generator.synthesize(styles=wanted), atol=1e-4, rtol=1e-4)


def test_a_feature_map_that_follows_edits_follows_channels(tiny_generator: MobileStyleGAN) -> None:
    """The generator's own feature of a code's rows: moving a channel is then what it is without the feature map."""
    code, direction = code_in("fs16/wplus", tiny_generator, 3), channel_direction(tiny_generator, "layers.0.conv2", 1)
    moved = EDITS["shift"].apply(EditInputs(code=code, directions=[(direction, 1.0)]), 2.0)
    plain = Code(**{**vars(code), "bind": lambda: make_space("wplus", tiny_generator)})
    plain = Code(**{**vars(plain), "variables": {"ws": code.variables["ws"]}})
    wanted = EDITS["shift"].apply(EditInputs(code=plain, directions=[(direction, 1.0)]), 2.0)
    got = tiny_generator.synthesize(moved)
    torch.testing.assert_close(got, tiny_generator.synthesize(wanted), atol=1e-3, rtol=1e-3)
    assert (got - code.draw()).abs().max() > 0.01


def test_a_channel_behind_a_feature_map_is_refused(tiny_generator: MobileStyleGAN) -> None:
    direction = channel_direction(tiny_generator, "layers.0.conv2", 1)
    with pytest.raises(UnsupportedError, match="'mine' moves styles of row 2, in whose place f16/wplus codes have"):
        EDITS["shift"].check_space(make_space("f16/wplus", tiny_generator), [direction])


def test_a_direction_of_rows_goes_before_a_channel_of_its_name(tiny_generator: MobileStyleGAN) -> None:
    channel = channel_direction(tiny_generator, "layers.0.conv2", 1)
    known = {("mine", "s"): channel}
    assert choose(known, "mine", "w") is choose(known, "mine", "z") is channel
    rows = Direction("mine", "w", "mine", np.eye(16)[2], 0.7, 0, 8)
    assert choose({**known, ("mine", "w"): rows}, "mine", "w") is rows


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({}, ParamsError, "wanted at least one"),
        ({"regions": ["nase"]}, UnknownNameError, "Did you mean 'nose'"),
        ({"attributes": {"smile": {"region": "mund"}}}, UnknownNameError, "part of a face"),
        ({"attributes": {"smile": {"photographs": ["a.jpg"]}}, "codes": "w"}, ParamsError, "two or more"),
        ({"attributes": {"smile": {"photographs": ["a.jpg", "b.jpg"]}}}, ParamsError, "codes: wplus"),
        ({"attributes": {"mouth": {}}, "regions": ["mouth"]}, ParamsError, "two of them are called"),
        ({"attributes": {"smile": {}}, "share": 2.0}, ParamsError, "share: wanted 0 to 1"),
        ({"attributes": {"smile": {}}, "components": 0}, ParamsError, "components: wanted at least 1"),
        ({"attributes": {"age": {}}}, UnknownNameError, "score 'age'"),
        ({"attributes": {"flat": {}}}, ParamsError, "attributes.flat: 50 samples have a score, wanted 20 that differ"),
        ({"channels": {"a": {"slot": "x", "channel": 0}}}, UnknownNameError, "style 'x'"),
        ({"channels": {"a": {"slot": "conv1", "channel": 16}}}, ParamsError, "a channel from 0 to 15, got 16"),
    ],
)
def test_impossible_requests_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str, tiny_generator: MobileStyleGAN
) -> None:
    samples = Samples(
        **{**vars(samples_of(tiny_generator, 50)), "scores": {"smile": np.arange(50.0), "flat": np.ones(50)}}
    )
    with pytest.raises(error, match=message):
        find_stylespace(FinderInputs(samples=samples, generator=tiny_generator), options(**changes))

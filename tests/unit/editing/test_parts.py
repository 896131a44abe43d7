"""Parts of codes: blended, moved one at a time, and changed as a pair of photographs differs."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ShapeError, UnknownNameError, UnsupportedError
from ganvert.codes import Code, Codes, codes_of_inversion
from ganvert.compute.random import normal
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.edits.interpolate import Interpolate, interpolated
from ganvert.editing.edits.transfer import Transfer, transferred
from ganvert.editing.parts import mean_code, names_of, with_part
from ganvert.editing.render import draw_edit
from ganvert.generators import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import to_pil
from ganvert.inversion.presets import Inversion
from ganvert.spaces import Space, Variables, make_space

IDS = ["a", "b", "c"]
FLAT = ["pad/wplus", "pad/w", "f16/wplus", "f16/s"]
COMPOSED = [*FLAT, "pad/zplus", "f8/zplus"]


@pytest.fixture(params=COMPOSED)
def space(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Space:
    return make_space(request.param, tiny_generator)


@pytest.fixture
def pad(tiny_generator: MobileStyleGAN) -> Space:
    return make_space("pad/wplus", tiny_generator)


def some(space: Space, n: int, seed: int = 0) -> Variables:
    """Codes with something in every part: the generator's own padding is the same for all."""
    drawn = space.from_random(range(seed, seed + n))
    return {
        name: value if name == "z" else value + 0.3 * normal(range(seed + 50, seed + 50 + n), tuple(value.shape[1:]))
        for name, value in drawn.items()
    }


def pick(codes: Variables, index: int) -> Variables:
    return {name: value[index : index + 1] for name, value in codes.items()}


def equal(a: Variables, b: Variables) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def codes_of(space: Space, noise: list[Tensor] | None = None, weights: list[dict[str, Tensor]] | None = None) -> Codes:
    n = len(IDS)
    found = Inversion(
        *(space.name, some(space, n), noise or [], torch.zeros(n, 1), torch.zeros(n)),
        *(["ok"] * n, [""] * n, weights or []),
    )
    return codes_of_inversion(found, IDS, "mine", space.generator)


def swap(space: Space, own: Variables, detail: Variables) -> Variables:
    return with_part(space, own, detail, "detail")


def between(code: Code, target: Code, amount: float, part: str = "all") -> Image.Image:
    return draw_edit(Interpolate(part=part), EditInputs(code=code, references=[target]), amount)


def blend(code: Code, detail: Code) -> Image.Image:
    return draw_edit(EDITS["blend"], EditInputs(code=code, references=[detail]), 1.0)


def transfer(code: Code, before: Code, after: Code, part: str, amount: float) -> Image.Image:
    return draw_edit(Transfer(part=part), EditInputs(code=code, references=[before, after]), amount)


def reconstruction(code: Code) -> Image.Image:
    return to_pil(code.draw())[0]


def drawn(space: Space, code: Variables) -> Image.Image:
    return to_pil(space.generator.synthesize(space.decode(code)))[0]


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.tobytes()


# --- parts


def test_the_parts_are_the_whole(space: Space) -> None:
    own, detail = names_of(space, "own"), names_of(space, "detail")
    assert own and detail and not set(own) & set(detail)
    assert [*own, *detail] == names_of(space, "all") == list(space.shapes)
    if space.name.startswith("pad"):
        assert own[0] == "const" and all(name.startswith("pad.") for name in own[1:])


def test_a_space_without_parts_says_which_have_them(tiny_generator: MobileStyleGAN) -> None:
    plain = make_space("wplus", tiny_generator)
    a, b = plain.from_random([1]), plain.from_random([2])
    for part in ("own", "detail"):
        with pytest.raises(UnsupportedError, match=r"space 'wplus'.*such as pad/wplus or f16/wplus"):
            interpolated(plain, a, b, 0.5, part)
        with pytest.raises(UnsupportedError, match="pad/wplus"):
            transferred(plain, a, b, a, part)
    with pytest.raises(UnsupportedError, match="pad/wplus"):
        swap(plain, a, b)
    # The whole is a part of every code.
    assert equal(interpolated(plain, a, b, 0.3), plain.interpolate(a, b, 0.3))
    assert equal(transferred(plain, a, b, a, "all"), b)


def test_mistakes(pad: Space) -> None:
    a, b = pick(some(pad, 2), 0), pick(some(pad, 2), 1)
    with pytest.raises(UnknownNameError, match="Did you mean 'detail'"):
        interpolated(pad, a, b, 0.5, "details")
    with pytest.raises(UnsupportedError, match="has variables"):
        swap(pad, a, {"ws": b["ws"]})
    with pytest.raises(ShapeError, match="other end"):
        interpolated(pad, a, some(pad, 2), 0.5, "own")


def test_swapping_twice_gives_the_codes_back(space: Space) -> None:
    a, b = some(space, 2), some(space, 2, seed=7)
    one, other = swap(space, a, b), swap(space, b, a)
    for name in names_of(space, "own"):
        assert torch.equal(one[name], a[name]) and torch.equal(other[name], b[name])
    for name in names_of(space, "detail"):
        assert torch.equal(one[name], b[name]) and torch.equal(other[name], a[name])
    assert equal(swap(space, one, other), a)
    assert equal(swap(space, other, one), b)
    assert equal(swap(space, a, a), a)
    pictures = [drawn(space, pick(code, 0)) for code in (a, b, one, other)]
    assert len({picture.tobytes() for picture in pictures}) == 4


# --- the way between


@pytest.mark.parametrize(("part", "other"), [("own", "detail"), ("detail", "own")])
def test_one_part_moves_and_the_other_stays(space: Space, part: str, other: str) -> None:
    a, b = some(space, 2), some(space, 2, seed=7)
    assert equal(interpolated(space, a, b, 0, part), a)
    assert equal(interpolated(space, a, b, 1, part), with_part(space, a, b, part))
    whole = space.interpolate(a, b, 0.3)
    between = interpolated(space, a, b, 0.3, part)
    for name in names_of(space, other):
        assert torch.equal(between[name], a[name]), name
    for name in names_of(space, part):
        assert torch.equal(between[name], whole[name]), name
        assert not torch.equal(between[name], a[name]), name
    assert equal(interpolated(space, a, b, 0.3), whole)


def test_the_part_that_stays_may_have_no_way(tiny_generator: MobileStyleGAN) -> None:
    space = make_space("pad/zplus", tiny_generator)
    a = some(space, 1)
    b = {**some(space, 1, seed=7), "z": -a["z"]}
    with pytest.raises(UnsupportedError, match="opposite"):
        interpolated(space, a, b, 0.5)
    assert torch.equal(interpolated(space, a, b, 0.5, "own")["z"], a["z"])


def test_the_mean_code_is_the_generator_as_it_is(pad: Space) -> None:
    generator = pad.generator
    code = mean_code(pad, 2)
    pad.check(code)
    assert torch.equal(code["ws"], generator.w_avg.expand(2, generator.num_ws, -1))
    assert not any(code[name].any() for name in names_of(pad, "own")[1:])  # zeros around
    image = generator.synthesize(ws=code["ws"])
    torch.testing.assert_close(generator.synthesize(pad.decode(code)), image, rtol=1e-5, atol=1e-5)


def test_pictures_on_the_way(space: Space) -> None:
    codes = codes_of(space)
    a, b = pick(codes.variables, 0), pick(codes.variables, 2)
    for part in ("all", "own", "detail"):
        for t in (0, 0.5, 1):
            expected = drawn(space, interpolated(space, a, b, t, part))
            assert same(between(codes[0], codes[2], t, part), expected), (part, t)


# --- editing by a pair


@pytest.mark.parametrize("part", ["all", "own", "detail"])
def test_transfer_in_flat_spaces(part: str, tiny_generator: MobileStyleGAN) -> None:
    for name in FLAT:
        space = make_space(name, tiny_generator)
        before, after, target = some(space, 1), some(space, 1, seed=7), some(space, 3, seed=20)
        held = {name: value.clone() for name, value in target.items()}
        # Nothing changed, nothing changes; of the pair's own first photograph the second one is made.
        assert equal(transferred(space, before, before, target, part, 3.0), target)
        assert equal(transferred(space, before, after, target, part, 0.0), target)
        assert equal(transferred(space, before, after, before, part), with_part(space, before, after, part))
        # Linear in the amount, and what does not follow stays.
        one, two = (transferred(space, before, after, target, part, amount) for amount in (1.0, -2.0))
        for name, value in target.items():
            if name in names_of(space, part):
                torch.testing.assert_close(two[name] - value, -2 * (one[name] - value), rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(one[name], value + after[name] - before[name])
            else:
                assert torch.equal(one[name], value)
        # A pair undone, and batches are images side by side.
        back = transferred(space, after, before, one, part)
        for name, value in target.items():
            torch.testing.assert_close(back[name], value)
        assert equal(pick(one, 2), transferred(space, before, after, pick(target, 2), part))
        assert equal(held, target)


def test_transfer_on_spheres(tiny_generator: MobileStyleGAN) -> None:
    space = make_space("pad/zplus", tiny_generator)
    before, after, target = (some(space, 1, seed) for seed in (0, 7, 20))
    held = target["z"].clone()
    moved = transferred(space, before, after, target, "detail", 0.5)
    z = held + 0.5 * (after["z"] - before["z"])
    torch.testing.assert_close(moved["z"], z * 4 / z.norm(dim=-1, keepdim=True))  # sqrt(16)
    torch.testing.assert_close(transferred(space, before, after, before, "all")["z"], after["z"])
    torch.testing.assert_close(transferred(space, before, before, target, "all")["z"], held)
    assert torch.equal(target["z"], held)
    assert transferred(space, before, after, target, "own")["z"] is target["z"]


def test_float32_that_do_not_subtract_well(pad: Space) -> None:
    before, after = some(pad, 1), some(pad, 1, seed=7)
    before["ws"] = before["ws"] * 1e3
    after["const"] = after["const"] * 1e-4
    assert not torch.equal(before["ws"] + (after["ws"] - before["ws"]), after["ws"])  # in float32
    assert equal(transferred(pad, before, after, before, "all"), after)


def test_pictures_of_blends_and_transfers(space: Space) -> None:
    codes = codes_of(space)
    a, b, c = (pick(codes.variables, i) for i in range(3))
    assert same(blend(codes[1], codes[1]), reconstruction(codes[1]))
    assert same(blend(codes[0], codes[2]), drawn(space, swap(space, a, c)))
    assert same(blend(codes[2], codes[0]), drawn(space, swap(space, c, a)))
    for part, amount in (("own", 1.0), ("detail", -0.5), ("all", 1.0)):
        expected = drawn(space, transferred(space, a, b, c, part, amount))
        assert same(transfer(codes[2], codes[0], codes[1], part, amount), expected)


def test_noise_stays_with_its_image(pad: Space) -> None:
    generator: Generator = pad.generator
    noise = [5 * normal(range(3), (1, *tuple(shape)[-2:])) for shape in generator.noise_shapes]
    codes = codes_of(pad, noise)
    plain = dataclasses.replace(codes, noise=[])
    assert not same(reconstruction(codes[0]), reconstruction(plain[0]))
    assert same(blend(codes[0], codes[1]), blend(plain[0], plain[1]))
    for part, kept in (("own", [False, True, True]), ("all", [False, True, False])):
        pairs = [[between(each[0], each[1], t, part) for each in (codes, plain)] for t in (0, 0.5, 1)]
        assert [same(*pair) for pair in pairs] == kept
    assert same(between(codes[0], codes[1], 1), reconstruction(codes[1]))
    assert same(transfer(codes[2], codes[0], codes[1], "own", 0.0), reconstruction(codes[2]))


def test_generators_of_their_own(pad: Space) -> None:
    name = next(name for name, _ in pad.generator.named_parameters() if "const" not in name and "mapping" not in name)
    value = dict(pad.generator.named_parameters())[name]
    shared = {name: torch.full_like(value, 0.05)}
    codes = codes_of(pad, weights=[shared, {name: torch.full_like(value, -0.05)}, shared])
    for draw in (lambda: blend(codes[0], codes[1]), lambda: between(codes[0], codes[1], 0.5, "own")):
        with pytest.raises(UnsupportedError, match="a and b have generators of their own"):
            draw()
    a, c = pick(codes.variables, 0), pick(codes.variables, 2)
    own = codes[0].space
    assert same(blend(codes[0], codes[2]), drawn(own, swap(own, a, c)))
    assert same(between(codes[0], codes[2], 1), reconstruction(codes[2]))
    # A change of codes can be drawn by any generator: the target's own.
    edited = transfer(codes[2], codes[0], codes[1], "own", 0.0)
    assert same(edited, reconstruction(codes[2]))
    assert not same(edited, drawn(pad, c))

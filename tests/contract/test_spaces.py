"""What every latent space of SPACES promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganvert.base.errors import ParamsError, ShapeError, TableError, UnknownNameError, UnsupportedError
from ganvert.codes import codes_of_inversion, read_codes, write_codes
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import Context, Inversion, read_preset
from ganvert.spaces import SPACES, Motion, Space, make_space
from ganvert.spaces.sphere import MOTIONS, to_sphere

OPTIMISE = {"inverter": "optimise", "steps": 2, "lr": 0.1, "objective": [{"loss": "mse", "resolution": 64}]}


OVER = [f"{over}/{name}" for over in ("c32", "f16", "fs16", "m16-32", "pad") for name in SPACES]
NAMES = [*SPACES, *OVER, "f8/zplus", "fs8/wplus"]
RANDOM = {name for name in NAMES if name.split("/")[-1].startswith("z")}


@pytest.fixture(params=NAMES)
def space(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Space:
    return make_space(request.param, tiny_generator)


def draw(space: Space, codes: dict[str, torch.Tensor]) -> torch.Tensor:
    return space.generator.synthesize(space.decode(codes))


def stored(space: Space, path: Path, noise: list[torch.Tensor] | None = None) -> Inversion:
    """Three random codes, written as codes of `space`."""
    n = 3
    inversion = Inversion(
        space.name, space.from_random(range(n)), noise or [], torch.ones(n, 2), torch.zeros(n), ["ok"] * n, [""] * n
    )
    noisy = {"noise": "optimise"} if noise else {}
    preset = read_preset("mine", {**OPTIMISE, "space": space.name, "init": "random", **noisy})
    write_codes(path, preset, inversion, ["a", "b", "c"], list(range(n)), Context(generator=space.generator))
    return inversion


def test_shapes_are_the_declared_ones(space: Space) -> None:
    codes = space.from_random([1, 2])
    assert {name: tuple(value.shape[1:]) for name, value in codes.items()} == space.shapes
    space.check(codes)
    if "/" not in space.name and space.name not in ("s", "zplusplus"):
        assert space.to_ws(codes).shape == (2, space.generator.num_ws, space.generator.w_dim)
    else:
        with pytest.raises(UnsupportedError, match="has no ws"):
            space.to_ws(codes)
    with pytest.raises(UnsupportedError, match="has variables"):
        space.check({"other": torch.zeros(1, 2)})
    with pytest.raises(ShapeError, match=f"{space.name} code"):
        space.check({name: torch.zeros(1, 2) for name in space.shapes})


def test_random_codes_depend_on_their_seed_alone(space: Space) -> None:
    first, second = space.from_random([5, 6, 7]), space.from_random([7, 5])
    for name in space.shapes:
        # The mapping runs on another batch size: equal to rounding, not to the bit.
        torch.testing.assert_close(first[name][[2, 0]], second[name])
        # What padding starts from, no modulation, and no difference under no mask.
        of_the_generator = name in ("const", "scale", "shift") or name.startswith(("pad.", "d16", "d32", "m16", "m32"))
        assert torch.equal(first[name][0], first[name][1]) == of_the_generator


def test_spaces_draw_the_same_picture_where_they_hold_the_same_code(tiny_generator: MobileStyleGAN) -> None:
    ws = tiny_generator.map(normal([3, 4], (tiny_generator.z_dim,)))
    image = tiny_generator.synthesize(ws=ws)
    for name in sorted(set(NAMES) - RANDOM):
        space = make_space(name, tiny_generator)
        torch.testing.assert_close(draw(space, space.from_ws(ws)), image, rtol=1e-3, atol=1e-3)


def test_a_feature_hides_the_rows_before_it(tiny_generator: MobileStyleGAN) -> None:
    space = make_space("f16/wplus", tiny_generator)
    point = next(point for point in tiny_generator.feature_points if point.shape[1] == 16)
    assert space.shapes == {"f": point.shape, "ws": (tiny_generator.num_ws - point.first_row, tiny_generator.w_dim)}
    codes = space.from_random([1, 2])
    vector = torch.ones(tiny_generator.w_dim)
    still = tiny_generator.synthesize(space.shift(codes, vector, (0, point.first_row)))
    assert torch.equal(still, draw(space, codes))
    assert not torch.equal(tiny_generator.synthesize(space.shift(codes, vector, (0, point.first_row + 1))), still)


def test_a_start_that_knows_ws(space: Space) -> None:
    ws = space.generator.map(normal([3, 4], (space.generator.z_dim,)))
    codes = space.start(ws, [1, 2])
    space.check(codes)
    if "f" in space.shapes:
        point = space.point  # type: ignore[attr-defined]
        feature = space.generator.features(SynthesisInput(ws=ws), [point.name])[point.name]
        assert torch.equal(codes["f"], feature)


def test_a_prediction_becomes_a_code(space: Space) -> None:
    """Every part that it takes is enough, is where the code starts, and lets gradients through."""
    generator = space.generator
    shapes = {**space.shapes, "ws": (generator.num_ws, generator.w_dim)}
    shapes |= {part: space.shapes["f"] for part in space.takes if "f" in space.shapes and part != "ws"}
    whole = {part: normal([3, 4], shapes[part]).requires_grad_() for part in space.takes}
    for prediction in ({**whole, "other": torch.zeros(2)}, *({part: value} for part, value in whole.items())):
        codes = space.adopt(prediction, [1, 2])
        space.check(codes)
        assert codes.keys() == space.shapes.keys()
        for part in prediction.keys() - {"ws", "other"}:
            assert torch.equal(codes["f" if "f" in codes else part], prediction[part])
        assert not {id(value) for value in codes.values()} & {id(value) for value in prediction.values()}
        if space.direction_space == "z" and prediction.keys() <= {"ws", "other"}:  # z is searched for
            continue
        gradients = torch.autograd.grad(draw(space, codes).sum(), list(whole.values()), allow_unused=True)
        assert any(gradient is not None and gradient.any() for gradient in gradients)
    with pytest.raises(UnsupportedError, match=f"predicts f4; space '{space.name}' needs {space.takes[0]}"):
        space.adopt({"f4": torch.zeros(2, 3, 4, 4)}, [1, 2])
    for part in whole:
        with pytest.raises(ShapeError, match=f"predicted '{part}': wanted"):
            space.adopt({part: torch.zeros(2, 3)}, [1, 2])
        with pytest.raises(ShapeError, match=f"predicted '{part}' of 2 images, wanted 3"):
            space.adopt({part: whole[part]}, [1, 2, 3])


def test_names_that_are_no_space(tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'zplus'"):
        make_space("f16/zpls", tiny_generator)
    with pytest.raises(ParamsError, match="fSIZE/DETAIL"):
        make_space("x16/zplus", tiny_generator)
    with pytest.raises(UnsupportedError, match="no feature of 17 px"):
        make_space("f17/zplus", tiny_generator)


def test_retraction_changes_the_numbers_but_not_the_picture(space: Space) -> None:
    codes = {name: 1.7 * value if name == "z" else value for name, value in space.from_random([1, 2]).items()}
    before = space.generator.synthesize(space.decode(codes))
    space.retract_(codes)
    after = space.generator.synthesize(space.decode(codes))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    if space.direction_space == "z":
        radius = codes["z"].norm(dim=-1)
        torch.testing.assert_close(radius, torch.full_like(radius, space.generator.z_dim**0.5))


def test_moves(space: Space) -> None:
    codes = space.from_random([1, 2])
    first, second = normal([3, 4], (space.generator.z_dim,))  # z and w of the tiny generator are equally wide
    image = draw(space, codes)
    still = space.generator.synthesize(space.shift(codes, 0 * first, (0, 8)))
    torch.testing.assert_close(still, image, rtol=1e-4, atol=1e-4)
    moved = space.generator.synthesize(space.shift(codes, first, (4, 8)))
    assert not torch.allclose(moved, image, atol=1e-3)
    one = space.generator.synthesize(space.move(codes, [(first, (4, 6)), (second, (5, 8))]))
    other = space.generator.synthesize(space.move(codes, [(second, (5, 8)), (first, (4, 6))]))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    apart = space.move(codes, [(first, (0, 8)), (second, (0, 8))], "geodesic")
    together = space.shift(codes, first + second, (0, 8), "geodesic")
    one, other = (space.generator.synthesize(moved) for moved in (apart, together))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_motions(space: Space) -> None:
    codes, vector = space.from_random([1, 2]), 3 * normal([3], (space.generator.z_dim,))[0]
    image = draw(space, codes)
    once, exact, stepped = (space.generator.synthesize(space.shift(codes, vector, (4, 7), how)) for how in MOTIONS)
    if space.direction_space == "w":
        assert torch.equal(exact, once)
        assert torch.equal(stepped, once)
    else:
        scale = float((once - image).abs().max())
        assert float((exact - stepped).abs().max()) < 5e-3 * scale
        assert float((exact - once).abs().max()) > 5e-2 * scale
    still = space.generator.synthesize(space.shift(codes, 0 * vector, (0, 8), "geodesic"))
    torch.testing.assert_close(still, image, rtol=1e-4, atol=1e-4)
    with pytest.raises(UnknownNameError, match=r"unknown motion 'geodesc'.*Did you mean 'geodesic'"):
        space.shift(codes, vector, (4, 8), "geodesc")  # type: ignore[arg-type]


@pytest.mark.parametrize("how", MOTIONS)
@pytest.mark.parametrize("name", ["w", "wplus", "z", "zplus", "z_psi", "zplus_psi", "pn", "pnplus"])
def test_moves_touch_their_rows_only(name: str, how: Motion, tiny_generator: MobileStyleGAN) -> None:
    space = make_space(name, tiny_generator)
    codes, vector = space.from_random([1, 2]), normal([3], (tiny_generator.z_dim,))[0]
    shifted = space.shift(codes, vector, (2, 5), how)
    assert shifted.ws is not None
    moved = (shifted.ws - space.to_ws(codes)).abs().amax(dim=(0, 2)) > 1e-4
    assert moved.tolist() == [2 <= row < 5 for row in range(tiny_generator.num_ws)]
    if space.direction_space == "w":
        torch.testing.assert_close(shifted.ws[:, 2:5] - space.to_ws(codes)[:, 2:5], vector.expand(2, 3, -1))


def test_a_direction_of_w_moves_styles_as_it_moves_ws(tiny_generator: MobileStyleGAN) -> None:
    ws, vector = tiny_generator.map(normal([3, 4], (16,))), normal([5], (16,))[0]
    s, wplus = (make_space(name, tiny_generator) for name in ("s", "wplus"))
    one, other = (x.generator.synthesize(x.shift(x.from_ws(ws), vector, (2, 6))) for x in (s, wplus))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_from_ws(space: Space) -> None:
    if space.name not in RANDOM:
        ws = space.generator.w_avg.expand(2, space.generator.num_ws, -1)
        torch.testing.assert_close(
            draw(space, space.from_ws(ws)), space.generator.synthesize(ws=ws), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_the_nearest_z_is_found_where_there_is_one(name: str, tiny_generator: MobileStyleGAN) -> None:
    """Samples outside of those that the search starts from; rows that psi shrinks lie inside of what it can reach."""
    space, mean = make_space(name, tiny_generator), tiny_generator.w_avg
    ws = mean + 0.7 * (tiny_generator.map(normal([5001, 5002], (tiny_generator.z_dim,))) - mean)
    ws = ws if name.endswith("psi") else tiny_generator.map(normal([5001, 5002], (tiny_generator.z_dim,)))
    image, found = tiny_generator.synthesize(ws=ws), space.from_ws(ws)
    torch.testing.assert_close(found["z"].norm(dim=-1), torch.full(found["z"].shape[:2], tiny_generator.z_dim**0.5))
    error, far = ((draw(space, codes) - image).square().mean() for codes in (found, space.from_random([1, 2])))
    assert error < 0.02 * far
    # Each image is searched for alone.
    assert torch.equal(space.from_ws(ws[1:])["z"], found["z"][1:])


def test_no_image_knows_the_others(space: Space) -> None:
    codes = space.from_random([1, 2, 3])
    images = draw(space, codes)
    assert images.shape == (3, 3, 64, 64)
    singles = [draw(space, {name: value[i : i + 1] for name, value in codes.items()}) for i in range(3)]
    torch.testing.assert_close(torch.cat(singles), images, rtol=1e-4, atol=1e-4)


def test_interpolation(space: Space) -> None:
    a, b = space.from_random([1, 2]), space.from_random([3, 4])
    for t, end in ((0, a), (1.0, b)):
        found = space.interpolate(a, b, t)
        assert all(torch.equal(found[name], value) for name, value in end.items())
    middle, beyond = space.interpolate(a, b, 0.5), space.interpolate(a, b, 1.5)
    space.check(middle)
    for name, value in middle.items():
        if name == "z":
            torch.testing.assert_close(value, to_sphere(a[name] + b[name]), rtol=1e-4, atol=1e-5)
            # Beyond the end by half the angle: the reflection of the middle across b.
            along = (value * b[name]).sum(dim=-1, keepdim=True) / value.shape[-1]
            torch.testing.assert_close(beyond[name], 2 * along * b[name] - value, rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(value, (a[name] + b[name]) / 2)
            torch.testing.assert_close(beyond[name], 1.5 * b[name] - 0.5 * a[name], rtol=1e-4, atol=1e-5)
    same = space.interpolate(a, a, 0.3)
    assert all(torch.equal(same[name], value) for name, value in a.items())


@pytest.mark.parametrize("name", ["z", "zplusplus", "w", "f16/zplus", "pad/zplus"])
def test_interpolation_of_what_does_not_fit(name: str, tiny_generator: MobileStyleGAN) -> None:
    space = make_space(name, tiny_generator)
    a, b = space.from_random([1, 2]), space.from_random([3])
    with pytest.raises(ShapeError, match="at the other end"):
        space.interpolate(a, b, 0.5)
    with pytest.raises(UnsupportedError, match="has variables"):
        space.interpolate(a, {}, 0.5)
    if space.direction_space == "z":
        with pytest.raises(UnsupportedError, match="opposite"):
            space.interpolate(a, {**a, "z": -a["z"]}, 0.5)


def test_stored_codes_draw_the_same_picture(space: Space, tmp_path: Path) -> None:
    with_noise = "/" in space.name  # enough of both
    noise = [normal(range(3), (1, *shape)) for shape in space.generator.noise_shapes] if with_noise else []
    inversion = stored(space, tmp_path / "codes.parquet", noise)
    fresh = codes_of_inversion(inversion, ["a", "b", "c"], "mine", space.generator)
    back = read_codes(tmp_path / "codes.parquet", space.generator)
    assert (back.image_ids, back.method, back.status) == (["a", "b", "c"], "mine", ["ok"] * 3)
    assert back.space_name == space.name
    assert len(back.noise) == len(noise)
    assert torch.equal(back.draw(), fresh.draw())
    assert torch.equal(back[1].draw(), fresh[1].draw())
    assert back[1].image_id == "b"


@pytest.mark.parametrize("name", ["zplus", "f16/wplus", "pad/wplus"])
def test_codes_of_another_generator_are_refused(name: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    stored(make_space(name, tiny_generator), tmp_path / "codes.parquet")
    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    with pytest.raises(TableError, match="codes of generator"):
        read_codes(tmp_path / "codes.parquet", other)

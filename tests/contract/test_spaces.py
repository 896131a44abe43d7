"""What every latent space of SPACES promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganvert.codes import codes_of_inversion, read_codes, write_codes
from ganvert.errors import ShapeError, TableError, UnsupportedError
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inverters import Context, Inversion, read_preset
from ganvert.seeds import normal
from ganvert.spaces import SPACES, Space

OPTIMISE = {"inverter": "optimise", "steps": 2, "lr": 0.1, "objective": [{"loss": "mse", "resolution": 64}]}


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Space:
    return SPACES[request.param](tiny_generator)


def stored(space: Space, path: Path, noise: list[torch.Tensor] | None = None) -> Inversion:
    """Three random codes, written as codes of `space`."""
    n = 3
    inversion = Inversion(
        space.name, space.from_random(range(n)), noise or [], torch.ones(n, 2), torch.zeros(n), ["ok"] * n, [""] * n
    )
    preset = read_preset("mine", {**OPTIMISE, "space": space.name, "init": "random"})
    write_codes(path, preset, inversion, ["a", "b", "c"], list(range(n)), Context(generator=space.generator))
    return inversion


def test_shapes_are_the_declared_ones(space: Space) -> None:
    codes = space.from_random([1, 2])
    assert {name: tuple(value.shape[1:]) for name, value in codes.items()} == space.shapes
    space.check(codes)
    assert space.to_ws(codes).shape == (2, space.generator.num_ws, space.generator.w_dim)
    with pytest.raises(UnsupportedError, match="has variables"):
        space.check({"other": torch.zeros(1, 2)})
    with pytest.raises(ShapeError, match=f"{space.name} code"):
        space.check({name: torch.zeros(1, 2) for name in space.shapes})


def test_random_codes_depend_on_their_seed_alone(space: Space) -> None:
    first, second = space.from_random([5, 6, 7]), space.from_random([7, 5])
    for name in space.shapes:
        # The mapping runs on another batch size: equal to rounding, not to the bit.
        torch.testing.assert_close(first[name][[2, 0]], second[name])
        assert not torch.equal(first[name][0], first[name][1])


def test_codes_are_drawn(space: Space) -> None:
    codes = space.from_random([1, 2])
    images = space.generator.synthesize(space.decode(codes))
    assert images.shape == (2, 3, 64, 64)
    torch.testing.assert_close(images, space.generator.synthesize(ws=space.to_ws(codes)))


def test_retraction_changes_the_numbers_but_not_the_picture(space: Space) -> None:
    codes = {name: 1.7 * value for name, value in space.from_random([1, 2]).items()}
    before = space.generator.synthesize(space.decode(codes))
    space.retract_(codes)
    after = space.generator.synthesize(space.decode(codes))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    if space.direction_space == "z":
        radius = codes["z"].norm(dim=-1)
        torch.testing.assert_close(radius, torch.full_like(radius, space.generator.z_dim**0.5))


def test_shift(space: Space) -> None:
    codes = space.from_random([1, 2])
    rows = (2, 5)
    vector = normal([3], (space.to_rows(codes).shape[2],))[0]
    image = space.generator.synthesize(space.decode(codes))
    still = space.generator.synthesize(space.shift(codes, 0 * vector, rows))
    torch.testing.assert_close(still, image, rtol=1e-4, atol=1e-5)
    told = space.shift(codes, vector, rows)
    assert told.ws is not None
    moved = (told.ws - space.to_ws(codes)).abs().amax(dim=(0, 2)) > 1e-4
    assert moved.tolist() == [rows[0] <= row < rows[1] for row in range(space.generator.num_ws)]
    if space.direction_space == "w":
        torch.testing.assert_close(told.ws[:, 2:5] - space.to_ws(codes)[:, 2:5], vector.expand(2, 3, -1))


def test_from_ws(space: Space) -> None:
    same = space.generator.w_avg.expand(2, space.generator.num_ws, -1)
    if space.direction_space == "z":
        with pytest.raises(UnsupportedError, match="cannot start from w"):
            space.from_ws(same)
    else:
        torch.testing.assert_close(space.to_ws(space.from_ws(same)), same)


@pytest.mark.parametrize("with_noise", [False, True])
def test_stored_codes_draw_the_same_picture(space: Space, with_noise: bool, tmp_path: Path) -> None:
    noise = [normal(range(3), (1, *shape)) for shape in space.generator.noise_shapes] if with_noise else []
    inversion = stored(space, tmp_path / "codes.parquet", noise)
    fresh = codes_of_inversion(inversion, ["a", "b", "c"], "mine", space.generator)
    back = read_codes(tmp_path / "codes.parquet", space.generator)
    assert (back.image_ids, back.method, back.status) == (["a", "b", "c"], "mine", ["ok"] * 3)
    assert back.space.name == space.name
    assert len(back.noise) == len(noise)
    assert torch.equal(back.draw(), fresh.draw())
    assert torch.equal(back.select(1).draw(), fresh.select(1).draw())
    assert back.select(1).image_ids == ["b"]


def test_codes_of_another_generator_are_refused(space: Space, tmp_path: Path) -> None:
    stored(space, tmp_path / "codes.parquet")
    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    with pytest.raises(TableError, match="codes of generator"):
        read_codes(tmp_path / "codes.parquet", other)

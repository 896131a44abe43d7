"""What every edit of EDITS promises, and how the ways to move differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import UnknownNameError, UnsupportedError
from ganvert.codes import Codes
from ganvert.compute.random import normal
from ganvert.directions import Direction
from ganvert.editing.edits import EDITS
from ganvert.editing.render import EditSpec, draw_edit
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

NAMES = ["z", "zplus", "zplusplus", "zplus_psi", "wplus", "s", "f16/zplus", "f16/wplus", "pad/zplus"]


def direction_in(space: str, rows: tuple[int, int] = (0, 8)) -> Direction:
    vector = normal([5], (16,))[0].double().numpy()
    return Direction("smile", space, "test", vector / np.linalg.norm(vector), 1.5, *rows)  # type: ignore[arg-type]


def codes_in(name: str, generator: MobileStyleGAN, noise: bool = False) -> Codes:
    space = make_space(name, generator)
    maps = [normal([3], (1, *shape)) for shape in generator.noise_shapes] if noise else []
    return Codes(["a"], "mine", space, space.from_random([1]), maps, ["ok"])


def draw(codes: Codes, direction: Direction, amount: float, edit: str) -> Tensor:
    return codes.space.generator.synthesize(EDITS[edit](codes, direction, amount))


@pytest.fixture(params=NAMES)
def codes(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Codes:
    return codes_in(request.param, tiny_generator, noise=True)


@pytest.mark.parametrize("edit", EDITS)
def test_amount_0_is_the_reconstruction(edit: str, codes: Codes) -> None:
    direction = direction_in(codes.space.direction_space)
    torch.testing.assert_close(draw(codes, direction, 0.0, edit), codes.draw(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(draw(codes, direction, 2.0, edit), codes.draw(), atol=1e-2)


@pytest.mark.parametrize("edit", EDITS)
def test_directions_of_another_space_are_refused(edit: str, codes: Codes) -> None:
    other = "w" if codes.space.direction_space == "z" else "z"
    with pytest.raises(UnsupportedError, match=f"lives in {other}"):
        EDITS[edit](codes, direction_in(other), 1.0)


@pytest.mark.parametrize("name", ["wplus", "s", "f16/wplus"])
def test_in_flat_spaces_all_edits_are_one(name: str, tiny_generator: MobileStyleGAN) -> None:
    codes, direction = codes_in(name, tiny_generator), direction_in("w")
    first, *others = (draw(codes, direction, 2.0, edit) for edit in EDITS)
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.parametrize("amount", [-3.0, 0.5, 3.0])
def test_edits_of_zplus_in_closed_form(amount: float, tiny_generator: MobileStyleGAN) -> None:
    codes, direction = codes_in("zplus", tiny_generator), direction_in("z", (2, 6))
    z, radius, length = codes.variables["z"][0].double(), 4.0, 1.5 * amount  # sqrt(16); the unit is 1.5
    along = torch.from_numpy(direction.vector)
    theta = torch.acos((z @ along) / radius)
    turned = 2 * torch.atan(torch.tan(theta / 2) * math.exp(-length / radius))
    across = z - (z @ along)[:, None] * along
    across = across / across.norm(dim=1, keepdim=True)
    flow = radius * (turned.cos()[:, None] * along + turned.sin()[:, None] * across)
    once = z + length * along
    once = once * (radius / once.norm(dim=1, keepdim=True))
    for edit, moved in (("shift", once), ("geodesic", flow), ("stepped", flow)):
        wanted = z.clone()
        wanted[2:6] = moved[2:6]
        ws = tiny_generator.map_rows(wanted.float()[None])
        told = EDITS[edit](codes, direction, amount)
        assert told.ws is not None
        error = float((told.ws - ws).norm() / ws.norm())
        assert error < (1e-3 if edit == "stepped" else 1e-5)


def test_the_picture_of_shift_needs_no_retraction(tiny_generator: MobileStyleGAN) -> None:
    """The mapping network normalises z."""
    codes, direction = codes_in("zplus", tiny_generator), direction_in("z")
    plain = codes.variables["z"] + torch.from_numpy(direction.step(2.0))
    wanted = tiny_generator.synthesize(ws=tiny_generator.map_rows(plain))
    torch.testing.assert_close(draw(codes, direction, 2.0, "shift"), wanted, rtol=1e-4, atol=1e-4)


def test_edits_are_named_in_the_parameters(tiny_generator: MobileStyleGAN) -> None:
    codes, direction = codes_in("zplus", tiny_generator), direction_in("z")
    known = {("smile", "z"): direction}
    once, exact = (
        np.asarray(draw_edit(codes, known, EditSpec(direction="smile", amounts=(2.0,), edit=edit), 2.0)).astype(int)
        for edit in ("shift", "geodesic")
    )
    assert np.abs(once - exact).max() > 2
    with pytest.raises(UnknownNameError, match="Did you mean 'geodesic'"):
        EditSpec(direction="smile", amounts=(2.0,), edit="geodesics")

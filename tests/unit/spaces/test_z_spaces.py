"""Z++ and truncated Z against Z and Z+, on every architecture."""

from __future__ import annotations

import pytest
import torch

from ganvert.compute.random import normal
from ganvert.generators import Generator
from ganvert.spaces import make_space
from ganvert.spaces.truncated import CUTOFF, PSI
from ganvert.spaces.zplusplus import ZPlusPlus


@pytest.fixture
def zplusplus(any_generator: Generator) -> ZPlusPlus:
    space = make_space("zplusplus", any_generator)
    assert isinstance(space, ZPlusPlus)
    return space


def test_one_z_in_all_slots_is_z(zplusplus: ZPlusPlus) -> None:
    generator = zplusplus.generator
    codes = make_space("z", generator).from_random([1, 2])
    image = generator.synthesize(make_space("z", generator).decode(codes))
    same = zplusplus.decode({"z": codes["z"].repeat(1, len(zplusplus.reads), 1)})
    torch.testing.assert_close(generator.synthesize(same), image, rtol=1e-4, atol=1e-4)


def test_one_z_per_row_is_zplus(zplusplus: ZPlusPlus) -> None:
    """Also where the mapping network gives every row its own w."""
    generator = zplusplus.generator
    zplus = make_space("zplus", generator)
    codes = zplus.from_random([1, 2])
    wanted = generator.styles(zplus.to_ws(codes))
    decoded = zplusplus.decode({"z": codes["z"][:, zplusplus.reads]})
    assert decoded.styles is not None
    assert set(decoded.styles) == set(wanted)
    for name, style in wanted.items():
        torch.testing.assert_close(decoded.styles[name], style, rtol=1e-4, atol=1e-5)


def test_every_slot_has_its_own_z(zplusplus: ZPlusPlus) -> None:
    slots, codes = zplusplus.generator.style_layout, zplusplus.from_random([1])
    assert codes["z"].shape[1] == len(slots)
    before = zplusplus.decode(codes).styles
    other = normal([9], codes["z"].shape[1:])
    for i, slot in enumerate(slots):
        changed = codes["z"].clone()
        changed[:, i] = other[:, i]
        after = zplusplus.decode({"z": changed}).styles
        assert before is not None
        assert after is not None
        assert [name for name in after if not torch.equal(after[name], before[name])] == [slot.name]


def test_a_direction_moves_the_slots_that_read_its_rows(zplusplus: ZPlusPlus) -> None:
    codes, vector = zplusplus.from_random([1]), normal([3], (zplusplus.generator.z_dim,))[0]
    before, after = zplusplus.decode(codes).styles, zplusplus.shift(codes, vector, (1, 4), "geodesic").styles
    assert before is not None
    assert after is not None
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {slot.name for slot in zplusplus.generator.style_layout if 1 <= slot.row < 4}


def test_behind_a_feature_only_slots_that_still_act_are_coded(any_generator: Generator) -> None:
    size = next(point.shape[1] for point in any_generator.feature_points if point.first_row >= 2)
    space = make_space(f"f{size}/zplusplus", any_generator)
    acting = [slot for slot in any_generator.style_layout if slot.row >= space.first_coded]
    assert space.shapes["z"] == (len(acting), any_generator.z_dim)
    assert len(acting) < len(any_generator.style_layout)
    codes = space.from_random([1])
    image = any_generator.synthesize(space.decode(codes))
    for i in range(len(acting)):
        changed = {**codes, "z": codes["z"].clone()}
        changed["z"][:, i] *= -1
        assert not torch.equal(any_generator.synthesize(space.decode(changed)), image)


@pytest.mark.parametrize("plain", ["z", "zplus"])
def test_truncation_in_closed_form(plain: str, any_generator: Generator) -> None:
    full, cut = (make_space(name, any_generator) for name in (plain, f"{plain}_psi"))
    codes = full.from_random([1, 2])
    assert torch.equal(codes["z"], cut.from_random([1, 2])["z"])
    ws, truncated = full.to_ws(codes), cut.to_ws(codes)
    rows = getattr(any_generator, "w_avg_rows", None)  # a mean per row, in the StyleGAN1 that differs by row
    mean = any_generator.w_avg if rows is None else rows[:CUTOFF]
    torch.testing.assert_close(truncated[:, :CUTOFF], (1 - PSI) * mean + PSI * ws[:, :CUTOFF], rtol=1e-5, atol=1e-6)
    assert torch.equal(truncated[:, CUTOFF:], ws[:, CUTOFF:])
    if plain == "z":
        assert torch.equal(truncated, any_generator.map(codes["z"][:, 0], psi=0.7, cutoff=8))
    vector = normal([4], (any_generator.z_dim,))[0]
    moved, wanted = (space.shift(codes, vector, (2, 5), "geodesic").ws for space in (cut, full))
    assert moved is not None
    assert wanted is not None
    torch.testing.assert_close(moved[:, :CUTOFF], (1 - PSI) * mean + PSI * wanted[:, :CUTOFF], rtol=1e-5, atol=1e-6)
    assert torch.equal(moved[:, CUTOFF:], wanted[:, CUTOFF:])


def test_truncation_behind_a_feature_counts_rows_of_ws(any_generator: Generator) -> None:
    size = next(point.shape[1] for point in any_generator.feature_points if point.first_row >= 2)
    full, cut = (make_space(f"f{size}/{name}", any_generator) for name in ("zplus", "zplus_psi"))
    codes = full.from_random([1])
    ws, truncated = full.decode(codes).ws, cut.decode(codes).ws
    assert ws is not None
    assert truncated is not None
    changed = (ws != truncated).any(dim=2)[0, full.first_coded :]
    assert changed.tolist() == [row < 8 for row in range(full.first_coded, any_generator.num_ws)]

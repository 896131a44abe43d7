"""Moving along and between points of the sphere, against closed forms and another formulation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.compute.random import normal
from ganvert.spaces.sphere import MOTIONS, geodesic, retract_once, slerp, stepped, to_sphere

R3 = math.sqrt(3)


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.fixture
def z() -> Tensor:
    return to_sphere(normal([1, 2], (5, 64)).double())


@pytest.fixture
def field() -> Tensor:
    """A different one for every row, up to as long as the radius (8)."""
    rows = normal([3], (5, 64))[0].double()
    return rows / rows.norm(dim=-1, keepdim=True) * torch.tensor([[0.1], [1.0], [3.0], [5.0], [8.0]])


def test_geodesic_of_a_right_angle() -> None:
    # tan(45 deg) exp(-k) is the tangent of half an angle whose cosine is tanh k and whose sine is 1 / cosh k.
    z, field = vector(R3, 0, 0), vector(0, 0.7 * R3, 0)
    wanted = R3 * vector(1 / math.cosh(0.7), math.tanh(0.7), 0)
    torch.testing.assert_close(geodesic(z, field), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degrees", [1e-3, 20, 120, 179.999])
def test_geodesic_of_any_angle(degrees: float) -> None:
    along, across = vector(2, -1, 2) / 3, vector(1, 2, 0) / math.sqrt(5)
    theta, amount = math.radians(degrees), 2.5
    z = R3 * (math.cos(theta) * along + math.sin(theta) * across)
    turned = 2 * math.atan(math.tan(theta / 2) * math.exp(-amount / R3))
    wanted = R3 * (math.cos(turned) * along + math.sin(turned) * across)
    torch.testing.assert_close(geodesic(z, amount * along), wanted, rtol=1e-12, atol=1e-12)


def test_geodesic_is_the_flow_of_the_projected_field(z: Tensor, field: Tensor) -> None:
    def velocity(at: Tensor) -> Tensor:
        return field - at * (at * field).sum(dim=-1, keepdim=True) / z.shape[-1]

    at, h = z, 1 / 200
    for _ in range(200):  # Runge and Kutta's fourth order
        k1 = velocity(at)
        k2 = velocity(at + h / 2 * k1)
        k3 = velocity(at + h / 2 * k2)
        at = at + h / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(at + h * k3))
    assert relative(geodesic(z, field), at) < 1e-9


def test_stepped_comes_as_near_as_it_has_steps(z: Tensor, field: Tensor) -> None:
    exact = geodesic(z, field)
    coarse, fine = relative(stepped(z, field), exact), relative(stepped(z, field, steps=4000), exact)
    assert coarse < 1e-3
    assert fine == pytest.approx(coarse / 4, rel=0.02)
    assert relative(retract_once(z, field), exact) > 1e-2
    torch.testing.assert_close(stepped(z, field, steps=1), retract_once(z, field))


def test_a_small_move_is_the_same_for_all(z: Tensor, field: Tensor) -> None:
    first, *others = (motion(z, 1e-4 * field) for motion in MOTIONS.values())
    for other in others:
        assert relative(other, first) < 1e-8


def test_geodesics_add_and_undo(z: Tensor, field: Tensor) -> None:
    torch.testing.assert_close(geodesic(geodesic(z, 0.3 * field), 0.7 * field), geodesic(z, field))
    torch.testing.assert_close(geodesic(geodesic(z, field), -field), z)
    torch.testing.assert_close(geodesic(3 * z, field), geodesic(z, field))


def test_a_long_way_ends_at_the_pole(z: Tensor, field: Tensor) -> None:
    torch.testing.assert_close(geodesic(z, 1e4 * field), to_sphere(field).expand_as(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [-1e4, -300.0, -3.0, -1.0, 0.0, 1.0, 3.0, 1e4])
def test_poles_and_no_move(factor: float, dtype: torch.dtype) -> None:
    z = to_sphere(normal(range(4), (512,)).to(dtype))
    moved = geodesic(z, factor * z)
    if factor == 0:
        assert torch.equal(moved, z)
    elif factor >= -3:
        torch.testing.assert_close(moved, z, rtol=1e-6, atol=1e-6)
    # Rounding may put z beside the far pole, from where a long way leads to the near one; it is a point in any case.
    torch.testing.assert_close(moved.norm(dim=-1), torch.full((4,), math.sqrt(512), dtype=dtype))
    assert torch.equal(geodesic(z, -z), z)


@pytest.mark.parametrize("name", MOTIONS)
def test_every_motion_stays_on_the_sphere(name: str, z: Tensor, field: Tensor) -> None:
    radius = MOTIONS[name](2 * z.float(), field.float()).norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, 8))


def test_slerp_in_the_plane() -> None:
    def point(degrees: float) -> Tensor:
        return R3 * torch.tensor(
            [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0], dtype=torch.float64
        )

    a, b = point(10), point(50)
    for t, degrees in [(0.25, 20), (0.5, 30), (2, 90), (-1, -30), (9, 370)]:
        torch.testing.assert_close(slerp(a, b, t), point(degrees), rtol=1e-12, atol=1e-12)


def test_slerp_has_constant_speed_and_a_known_middle(z: Tensor) -> None:
    a, b = z
    torch.testing.assert_close(slerp(a, b, 0.5), to_sphere(a + b))
    path = torch.stack([slerp(a, b, t / 7) for t in range(8)])
    angles = torch.acos((path[1:] * path[:-1]).sum(dim=-1) / 64)
    torch.testing.assert_close(angles, angles[:1].expand_as(angles))
    torch.testing.assert_close(angles.sum(dim=0), torch.acos((a * b).sum(dim=-1) / 64))


def test_slerp_meets_its_ends_bit_for_bit(z: Tensor) -> None:
    a, b = 1.5 * z.float()  # not on the sphere: the ends are the codes themselves
    assert torch.equal(slerp(a, b, 0), a)
    assert torch.equal(slerp(a, b, 1), b)
    assert slerp(a, b, 0).data_ptr() != a.data_ptr()


def test_slerp_between_equal_and_between_near_codes(z: Tensor) -> None:
    a = z[0].float()
    mixed = torch.stack([a[0], *z[1, 1:].float()])  # one row equal, the others not
    between = slerp(a, mixed, 0.3)
    assert torch.equal(between[0], a[0])
    assert between.isfinite().all()
    near = to_sphere(a + 1e-6)
    torch.testing.assert_close(slerp(a, near, 0.5), a, rtol=1e-5, atol=2e-6)


def test_slerp_between_opposite_codes(z: Tensor) -> None:
    a = z[0].float()
    opposite = a.clone()
    opposite[2] = -1.3 * a[2]
    with pytest.raises(UnsupportedError, match="opposite"):
        slerp(a, opposite, 0.5)
    assert torch.equal(slerp(a, opposite, 1), opposite)

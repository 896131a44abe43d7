"""Geometry of the sphere of radius sqrt(dim) on which z lies: retraction, motion along a direction, interpolation.

A standard normal z has length sqrt(dim) up to a few percent, and the mapping network normalises z to exactly that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import UnsupportedError

__all__ = ["MOTIONS", "STEPS", "Motion", "geodesic", "retract_once", "slerp", "stepped", "to_sphere"]

#: How a code on the sphere follows a direction. In flat spaces all of them are the same plain sum.
Motion = Literal["retract_once", "geodesic", "stepped"]

#: Steps of :func:`stepped` in the code published with F/Z+.
STEPS = 1000

#: Unit vectors with a shorter sum are opposite within the precision of float32 codes.
_OPPOSITE = 1e-6


def to_sphere(z: Tensor) -> Tensor:
    """Scale z to length sqrt(dim) along the last axis (F/Z+, eq. 5)."""
    # The clamp keeps a zero vector zero instead of NaN.
    return z * (z.shape[-1] ** 0.5 / z.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny))


def retract_once(z: Tensor, field: Tensor) -> Tensor:
    """Add the field and retract onto the sphere once (F/Z+, section 3.4).

    The mapping network normalises z, so the retraction does not change the image: it keeps the length of codes, and
    with it the meaning of an amount, the same from edit to edit.

    Args:
        z: [..., dim], of any length but zero.
        field: broadcastable to z: the direction, its length the amount.

    Returns:
        [..., dim], of length sqrt(dim).
    """
    return to_sphere(z + field)


def geodesic(z: Tensor, field: Tensor) -> Tensor:
    """Follow the constant field, projected onto the sphere, for unit time; in closed form.

    z turns towards the field in their common plane. With theta the angle between them and R = sqrt(dim), the flow is
    ``d theta / dt = -|field| / R * sin(theta)``, whose solution is::

        tan(theta' / 2) = tan(theta / 2) * exp(-|field| / R)

    It is the limit of :func:`stepped` for many steps. A z that points along the field, or exactly away from it, stays.
    Arguments and result are those of :func:`retract_once`.
    """
    radius = z.shape[-1] ** 0.5
    length = field.double().norm(dim=-1, keepdim=True)
    unit, along = F.normalize(z.double(), dim=-1), F.normalize(field.double(), dim=-1)
    # |u + a|^2 = 4 cos^2(theta / 2) and |u - a|^2 = 4 sin^2(theta / 2). Their ratio, tan^2(theta / 2), keeps its digits
    # at both poles, where the arc cosine of the inner product loses them.
    near, far = ((unit + sign * along).square().sum(dim=-1, keepdim=True) for sign in (1, -1))
    decay = torch.exp(-length / radius)
    across = unit - along * (near - far) / 4  # part of u at right angles to the field; its length is sin(theta)
    # cos and sin of theta' from tan(theta' / 2) by the half-angle formulas, multiplied out.
    moved = ((near - far * decay**2) * along + 4 * decay * across) / (near + far * decay**2)
    # Without a field, and exactly opposite to it, nothing moves; the formula would divide zero by zero.
    fixed = (length == 0) | (near == 0)
    return torch.where(fixed, z, (radius * moved).to(z))


def stepped(z: Tensor, field: Tensor, steps: int = STEPS) -> Tensor:
    """Add `steps` equal parts of the field, each followed by a retraction (the code published with F/Z+).

    Arguments and result are those of :func:`retract_once`.
    """
    part = field.double() / steps  # float64: in float32 a thousand small steps would lose digits
    moved = to_sphere(z.double())
    for _ in range(steps):
        moved = to_sphere(moved + part)
    return moved.to(z)


#: Motion -> function(z, field)
MOTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "retract_once": retract_once,
    "geodesic": geodesic,
    "stepped": stepped,
}


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Interpolate along the great circle from a to b at constant speed (Shoemake 1985).

    Args:
        a: [..., dim], of any length but zero.
        b: the same.
        t: 0 gives a and 1 gives b, bit for bit; outside [0, 1] the circle continues.

    Returns:
        [..., dim], of length sqrt(dim) between the ends.

    Raises:
        UnsupportedError: a and b are opposite, so that no great circle is the shortest.
    """
    if t in (0, 1):
        return (b if t else a).clone()
    start, end = F.normalize(a.double(), dim=-1), F.normalize(b.double(), dim=-1)
    difference, total = ((start + sign * end).norm(dim=-1, keepdim=True) for sign in (-1, 1))
    if bool((total < _OPPOSITE).any()):
        raise UnsupportedError(
            "slerp: wanted two codes with a shortest path between them, got a row that is opposite to its other end; "
            "interpolate via a third code"
        )
    # |u - v| = 2 sin(angle / 2) and |u + v| = 2 cos(angle / 2): precise for all angles, unlike acos(u . v).
    angle = 2 * torch.atan2(difference, total)
    equal = angle == 0
    sine = torch.where(equal, torch.ones_like(angle), angle.sin())
    between = (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / sine
    return torch.where(equal, a, (a.shape[-1] ** 0.5 * between).to(a))

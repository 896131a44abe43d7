"""The sphere of radius sqrt(dim) on which z lies: back onto it, along it, and between two of its points."""

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

#: Steps of :func:`stepped` in the code that was published with F/Z+.
STEPS = 1000

#: Unit vectors whose sum is shorter are opposite as far as float32 codes can tell.
_OPPOSITE = 1e-6


def to_sphere(z: Tensor) -> Tensor:
    """Scale z to the sphere of radius sqrt(dim) along the last axis (F/Z+ paper, eq. 5)."""
    return z * (z.shape[-1] ** 0.5 / z.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny))


def retract_once(z: Tensor, field: Tensor) -> Tensor:
    """``z + field``, then back onto the sphere once (F/Z+ paper, section 3.4).

    A mapping network that normalises z draws the same picture of ``z + field`` itself: the retraction keeps numbers
    comparable, it does not change the edit.

    Args:
        z: [..., dim], of any length but zero.
        field: broadcastable to z: the direction, its length the amount.

    Returns:
        [..., dim], of length sqrt(dim).
    """
    return to_sphere(z + field)


def geodesic(z: Tensor, field: Tensor) -> Tensor:
    """Where the flow of `field`, projected on the sphere, takes z in unit time.

    z turns towards the field in the plane of both. With theta the angle between them and R = sqrt(dim)::

        tan(theta' / 2) = tan(theta / 2) * exp(-|field| / R)

    It is the limit of :func:`stepped` for many steps, in one evaluation. A z that points along the field, or straight
    away from it, stays where it is. Arguments and result as of :func:`retract_once`.
    """
    radius = z.shape[-1] ** 0.5
    length = field.double().norm(dim=-1, keepdim=True)
    unit, along = F.normalize(z.double(), dim=-1), F.normalize(field.double(), dim=-1)
    # 4 cos^2 and 4 sin^2 of theta / 2 from distances: their ratio keeps its digits at both poles.
    near, far = ((unit + sign * along).square().sum(dim=-1, keepdim=True) for sign in (1, -1))
    decay = torch.exp(-length / radius)
    across = unit - along * (near - far) / 4
    moved = ((near - far * decay**2) * along + 4 * decay * across) / (near + far * decay**2)
    # A pole of the field and a row without one rest; the division has no value for them.
    rests = (length == 0) | (near == 0)
    return torch.where(rests, z, (radius * moved).to(z))


def stepped(z: Tensor, field: Tensor, steps: int = STEPS) -> Tensor:
    """`steps` equal parts of `field`, each followed by a retraction (the published code of F/Z+).

    Arguments and result as of :func:`retract_once`.
    """
    part = field.double() / steps
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
    """The point at `t` of the great circle from a to b, at constant speed (Shoemake 1985).

    Args:
        a: [..., dim], of any length but zero.
        b: the same.
        t: 0 is a and 1 is b, bit for bit; outside of [0, 1] the circle goes on.

    Returns:
        [..., dim], of length sqrt(dim) between the ends.

    Raises:
        UnsupportedError: a and b lie opposite each other, where no way is the shortest.
    """
    if t in (0, 1):
        return (b if t else a).clone()
    one, other = F.normalize(a.double(), dim=-1), F.normalize(b.double(), dim=-1)
    apart, together = ((one + sign * other).norm(dim=-1, keepdim=True) for sign in (-1, 1))
    if bool((together < _OPPOSITE).any()):
        raise UnsupportedError(
            "slerp: wanted two codes with a shortest way between them, got a row that lies opposite its other end; "
            "go by way of a third code"
        )
    angle = 2 * torch.atan2(apart, together)
    equal = angle == 0
    sine = torch.where(equal, torch.ones_like(angle), angle.sin())
    between = (torch.sin((1 - t) * angle) * one + torch.sin(t * angle) * other) / sine
    return torch.where(equal, a, (a.shape[-1] ** 0.5 * between).to(a))

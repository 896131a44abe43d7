"""Codes with two parts: one part from another photograph, on its way to it, or changed as a pair of photographs was.

A composed space has variables of its own (padding, a feature map) over those of a detail space (rows of ws). PadInv
(Bai et al. 2022, arXiv 2203.11105, sections 4.3 and 4.4) shows that padding holds pose and contour, the detail faces'
details and colours. Face blending, interpolation of one part and editing by one pair of photographs follow from that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.codes import Codes
from ganvert.images import to_pil
from ganvert.spaces import Space, Variables
from ganvert.spaces.composed import Composed

__all__ = [
    "PARTS",
    "draw_between",
    "draw_swap",
    "draw_transfer",
    "interpolate_part",
    "mean_code",
    "names_of",
    "swap",
    "transfer",
    "with_part",
]


def _composed(space: Space) -> Composed:
    if not isinstance(space, Composed):
        raise UnsupportedError(
            f"space {space.name!r}: its codes have one part only; wanted padding or a feature over a detail space, "
            "such as pad/wplus or f16/wplus (`ganvert methods` lists the space of every method)"
        )
    return space


#: Part of a code -> function(space) -> the names of its variables
PARTS: Mapping[str, Callable[[Space], list[str]]] = {
    "all": lambda space: list(space.shapes),
    "own": lambda space: list(_composed(space).own_shapes),
    "detail": lambda space: list(_composed(space).detail.shapes),
}


def names_of(space: Space, part: str) -> list[str]:
    """The variables that a part of a code consists of.

    Args:
        space: of the code.
        part: "all", or in composed spaces "own" (padding, feature map) or "detail" (rows of ws).

    Raises:
        UnknownNameError: no such part.
        UnsupportedError: codes of this space have one part only.
    """
    return lookup(PARTS, part, "part")(space)


def with_part(space: Space, code: Mapping[str, Tensor], other: Mapping[str, Tensor], part: str) -> Variables:
    """`code` with a part of it taken from `other`. Tensors are shared with both, not copied.

    Raises:
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space.
    """
    taken = names_of(space, part)
    space.check(code)
    space.check(other)
    return {name: (other if name in taken else code)[name] for name in space.shapes}


def swap(space: Space, own: Mapping[str, Tensor], detail: Mapping[str, Tensor]) -> Variables:
    """Face blending: padding or feature map of one code over the detail of another.

    With padding, pose and contour are those of `own`, facial details and colours those of `detail`.

    Raises:
        UnsupportedError: codes of this space have one part only.
    """
    return with_part(space, own, detail, "detail")


def mean_code(space: Space, n: int = 1) -> Variables:
    """The code of w_avg in every row, n times: with padding, the generator's own input and zeros around.

    Raises:
        UnsupportedError: the space has no way from ws to its codes (Z).
    """
    generator = space.generator
    return space.from_ws(generator.w_avg.expand(n, generator.num_ws, -1))


def interpolate_part(
    space: Space, a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float, part: str = "all"
) -> Variables:
    """A part of a code on the way from a to b while the other stays that of a (see :meth:`Space.interpolate`).

    Both ends are met, and what does not move stays, bit for bit.

    Raises:
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space; as `interpolate`.
    """
    # The way from anything to itself is to stay.
    return space.interpolate(a, with_part(space, a, b, part), t)


def transfer(
    space: Space,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    part: str = "own",
    amount: float = 1.0,
) -> Variables:
    """Customised editing: a part of `target` changed as it changed from `before` to `after`.

    In flat spaces it is ``target + amount * (after - before)``. Detail codes on spheres are put back there afterwards.

    Args:
        space: of all three codes.
        before: a photograph's code [1, ...].
        after: the code of the same photograph with something changed on it [1, ...].
        target: codes of the photographs to edit [N, ...].
        part: what follows. PadInv edits the padding alone for spatial attributes (glasses, bangs) and the detail
            alone for others (colours, smile).
        amount: 1 is the change of the pair.

    Returns:
        Codes [N, ...]; variables that do not follow are the target's own tensors.

    Raises:
        ParamsError: the amount is not finite.
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space.
    """
    if not math.isfinite(amount):
        raise ParamsError(f"amount: wanted a number, got {amount}")
    moving = names_of(space, part)
    for code in (before, after, target):
        space.check(code)
    moved = dict(target)
    for name in moving:
        # In float64, so that a pair applied to its own first photograph gives the second one to the last bit.
        step = amount * (after[name].double() - before[name].double())
        moved[name] = (target[name].double() + step).to(target[name])
    if part != "own":  # retraction is the detail's, and works in place: on tensors made above
        space.retract_(moved)
    return moved


@torch.no_grad()
def draw_between(codes: Codes, first: int | None, second: int, count: int, part: str = "all") -> list[Image.Image]:
    """`count` pictures from one image's code to another's, both included.

    Straight lines in flat spaces, great circles on spheres (:meth:`ganvert.spaces.Space.interpolate`). Optimised noise
    maps do not move along: they are the first image's at the first end, the second's at the second, and the
    generator's own in between.

    Args:
        codes: of several images.
        first: index of the image to start from; None starts from the generator's own (:func:`mean_code`).
        second: index of the image to end at.
        count: how many pictures.
        part: what moves. The other part stays that of the first end, so that the last picture is not the second
            image's reconstruction.

    Raises:
        ParamsError: fewer than two pictures.
        UnknownNameError: no such part.
        UnsupportedError: codes of this space have one part only; or the two images have generators of their own that
            differ; or there is no mean code (Z).
    """
    if count < 2:
        raise ParamsError(f"count: wanted at least the two ends, got {count}")
    names_of(codes.space, part)
    if first is not None:
        _check_shared(codes, first, second)
    end = codes.select(second)
    space, b = end.space, _on_device(codes, second)
    if first is None:
        a = mean_code(space)
        pictures = _draw(space, a)
    else:
        a = _on_device(codes, first)
        pictures = to_pil(codes.select(first).draw())
    for i in range(1, count - 1):
        pictures += _draw(space, interpolate_part(space, a, b, i / (count - 1), part))
    return pictures + (to_pil(end.draw()) if part == "all" else _draw(space, with_part(space, a, b, part)))


@torch.no_grad()
def draw_swap(codes: Codes, own: int, detail: int) -> Image.Image:
    """One image's padding or feature map over another's detail (:func:`swap`), drawn with the generator's own noise.

    An image over itself is its reconstruction.

    Raises:
        UnsupportedError: codes of this space have one part only, or the two images have generators of their own.
    """
    names_of(codes.space, "own")
    if own == detail:
        return to_pil(codes.select(own).draw())[0]
    _check_shared(codes, own, detail)
    space = codes.select(own).space
    return _draw(space, swap(space, _on_device(codes, own), _on_device(codes, detail)))[0]


@torch.no_grad()
def draw_transfer(codes: Codes, before: int, after: int, target: int, part: str, amount: float) -> Image.Image:
    """The target image edited as the pair of images says (:func:`transfer`), with the target's own noise and generator.

    Raises:
        ParamsError, UnknownNameError, UnsupportedError: as :func:`transfer`.
    """
    edited = codes.select(target)
    one, other, moving = (_on_device(codes, i) for i in (before, after, target))
    moved = transfer(edited.space, one, other, moving, part, amount)
    return to_pil(edited.space.generator.synthesize(edited.with_noise(edited.space.decode(moved))))[0]


def _draw(space: Space, variables: Mapping[str, Tensor]) -> list[Image.Image]:
    return to_pil(space.generator.synthesize(space.decode(variables)))


def _on_device(codes: Codes, index: int) -> Variables:
    """One image's variables where the generator is."""
    device = codes.space.generator.w_avg.device
    return {name: value[index : index + 1].to(device) for name, value in codes.variables.items()}


def _check_shared(codes: Codes, first: int, second: int) -> None:
    """UnsupportedError where two images have generators of their own that differ."""
    if codes.tuned and codes.tuned.keys[first] != codes.tuned.keys[second]:
        raise UnsupportedError(
            f"{codes.image_ids[first]} and {codes.image_ids[second]} have generators of their own: there is none "
            "between them; use a method without tuning, or one that tunes for all together"
        )

"""The two parts of a code in a composed space.

A composed space has variables of its own (padding, a feature map) over those of a detail space (rows of ws). PadInv
(Bai et al. 2022, arXiv 2203.11105, sections 4.3 and 4.4) shows that padding holds pose and contour, the detail faces'
details and colours. Face blending, interpolation of one part and editing by one pair of photographs follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.base.registry import lookup
from ganvert.spaces import Space, Variables
from ganvert.spaces.composed import Composed

__all__ = ["PARTS", "mean_code", "names_of", "with_part"]


def _composed(space: Space) -> Composed:
    if not isinstance(space, Composed):
        raise UnsupportedError(
            f"space {space.name!r}: its codes have one part only; wanted padding or a feature over a detail space, "
            "such as pad/wplus or f16/wplus (`ganvert methods` lists the space of every method)"
        )
    return space


#: Part of a code -> function(space) -> the names of its variables
PARTS: Mapping[str, Callable[[Space], list[str]]] = {
    # Functions, so that a space without parts raises its error only when a part is asked for.
    "all": lambda space: list(space.shapes),
    "own": lambda space: list(_composed(space).own_shapes),
    "detail": lambda space: list(_composed(space).detail.shapes),
}


def names_of(space: Space, part: str) -> list[str]:
    """Return the names of the variables that a part of a code consists of.

    Args:
        space: of the code.
        part: "all", or in composed spaces "own" (padding, feature map) or "detail" (rows of ws).

    Raises:
        UnknownNameError: no such part.
        UnsupportedError: codes of this space have one part only.
    """
    return lookup(PARTS, part, "part")(space)


def with_part(space: Space, code: Mapping[str, Tensor], other: Mapping[str, Tensor], part: str) -> Variables:
    """Return `code` with a part of it taken from `other`; tensors are shared with both, not copied.

    With the padding of `code` and the detail of `other`, pose and contour are those of `code`, facial details and
    colours those of `other`: the face blending of PadInv.

    Raises:
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space.
    """
    taken = names_of(space, part)
    space.check(code)
    space.check(other)
    return {name: (other if name in taken else code)[name] for name in space.shapes}


def mean_code(space: Space, n: int = 1) -> Variables:
    """Return the code of w_avg in every row, n times: with padding, the generator's own input and zeros around."""
    generator = space.generator
    # The "fixed constants" from which PadInv interpolates the padding (supplement, section D).
    return space.from_ws(generator.w_avg.expand(n, generator.num_ws, -1))

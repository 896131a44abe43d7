"""Z++: one z for every style slot, on spheres like those of Z+ (the code published with the F/Z+ paper)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.styles import S
from ganvert.spaces.z import ZPlus

__all__ = ["ZPlusPlus"]


class ZPlusPlus(ZPlus):
    """Where two slots read one row of ws (a convolution and the picture before it), each has a z of its own.

    Every z is mapped and goes through its own slot's affine layer. A direction moves the slots that read its rows.
    """

    name = "zplusplus"

    def __init__(self, generator: Generator, first_row: int = 0) -> None:
        super().__init__(generator, first_row)
        self._styles = S(generator, first_row)

    @property
    def reads(self) -> list[int]:
        return [slot.row for slot in self._styles.slots]

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        raise UnsupportedError(f"space {self.name!r} has no ws: slots that read one row have each their own w")

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        return self.tell(variables["z"])

    def tell(self, z: Tensor) -> SynthesisInput:
        generator, slots, rows = self.generator, self._styles.slots, self.reads
        w = generator.map_to_w(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        if generator.rows_differ:  # slot i of z is asked for its own row: [N, i, row of i]
            w = w[:, range(len(rows)), rows]
        styles: dict[str, Tensor] = {}
        # All affine layers act at once on ws, so each pass serves one slot of every row that has slots left.
        waiting = list(range(len(slots)))
        while waiting:
            served = {rows[i]: i for i in waiting}
            ws = generator.w_avg.to(w).repeat(len(w), generator.num_ws, 1)
            ws[:, list(served)] = w[:, list(served.values())]
            told = generator.styles(ws)
            styles |= {slots[i].name: told[slots[i].name] for i in served.values()}
            waiting = [i for i in waiting if i not in served.values()]
        return self._styles.decode(styles)

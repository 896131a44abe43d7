"""Z++: one z for every style slot, on spheres like those of Z+ (in the code published with F/Z+)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.styles import S
from ganvert.spaces.z import ZPlus

__all__ = ["ZPlusPlus"]


class ZPlusPlus(ZPlus):
    """Z+ with a separate z for each slot, also where two of them read one row of ws (a toRGB and the next convolution).

    Every z is mapped and passes through its own slot's affine layer. A direction moves the slots that read its rows.
    """

    name = "zplusplus"

    def __init__(self, generator: Generator, first_row: int = 0) -> None:
        super().__init__(generator, first_row)
        self._styles = S(generator, first_row)

    @property
    def reads(self) -> list[int]:
        return [slot.row for slot in self._styles.slots]

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        raise UnsupportedError(f"space {self.name!r} has no ws: slots that read the same row have different w")

    def rows_of(self, z: Tensor) -> Tensor:
        w = self.generator.map_to_w(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        # With rows_differ each z gives a w for every row, of which only its own is used: [N, i, row of i].
        return w[:, range(len(self.reads)), self.reads] if self.generator.rows_differ else w

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        return self.decode_rows(variables["z"])

    def decode_rows(self, z: Tensor) -> SynthesisInput:
        generator, slots, rows, w = self.generator, self._styles.slots, self.reads, self.rows_of(z)
        styles: dict[str, Tensor] = {}
        # generator.styles applies all affine layers to one ws, with one w per row. So each pass serves one slot of
        # every row that has slots left: two passes in StyleGAN2, where a row has two slots at most.
        waiting = list(range(len(slots)))
        while waiting:
            served = {rows[i]: i for i in waiting}
            ws = generator.w_avg.to(w).repeat(len(w), generator.num_ws, 1)
            ws[:, list(served)] = w[:, list(served.values())]
            computed = generator.styles(ws)
            styles |= {slots[i].name: computed[slots[i].name] for i in served.values()}
            waiting = [i for i in waiting if i not in served.values()]
        return self._styles.decode(styles)

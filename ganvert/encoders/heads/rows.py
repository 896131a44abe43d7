"""The linear layer at the end of heads that predict all rows of W+ at once."""

from __future__ import annotations

from torch import Tensor, nn

from ganvert.generators.base import Generator

__all__ = ["Rows"]


class Rows(nn.Module):
    """One linear layer per row, stored as a single one: [N, inputs] to [N, num_ws, w_dim].

    With `code` above 0 all rows share a bottleneck of that many numbers, which keeps the layer small (our choice; the
    papers have none).
    """

    def __init__(self, generator: Generator, inputs: int, *, code: int = 0, norm: bool = False) -> None:
        """Build it; `norm` ends in batch normalisation of every coordinate."""
        super().__init__()
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        outputs = self.num_ws * self.w_dim
        self.narrow = nn.Sequential(nn.Linear(inputs, code), nn.LeakyReLU(0.2)) if code else nn.Identity()
        self.linear = nn.Linear(code or inputs, outputs, bias=not norm)  # BN has a bias of its own
        self.norm = nn.BatchNorm1d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # BN over all coordinates of all rows, before they become rows.
        return self.norm(self.linear(self.narrow(x))).unflatten(1, (self.num_ws, self.w_dim))

"""SeFa: directions of W that change the styles most, from the weights alone (Shen and Zhou 2021, section 3).

The affine matrices of the chosen rows are stacked, one row for each channel of S, and each is divided by its length, as
in the authors' code. The eigenvectors of ``A^T A`` are the directions n at which ``|A n|`` is stationary. No picture is
drawn, and no score is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.directions.base import Direction, FinderInputs, Rows, row_range, signed, step_length
from ganvert.generators.base import Generator

__all__ = ["SefaOptions", "factorise", "find_sefa", "style_matrix"]


@dataclass(frozen=True, kw_only=True)
class SefaOptions:
    """params.yaml: discover.methods.sefa.

    Attributes:
        components: how many for each group, named ``sefa_GROUP_0`` (largest change of styles) and on.
        groups: a name for each range of rows, whose weights are factorised and whose rows the directions move. The
            authors use all rows, and 0 to 1, 2 to 5 and 6 to 13 of StyleGAN2 at 256 px.
    """

    components: int = 5
    groups: dict[str, Rows] = field(default_factory=lambda: {"all": Rows()})

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ParamsError(f"components: wanted at least 1, got {self.components}")
        if not self.groups:
            raise ParamsError("groups: wanted at least one range of rows, such as all: {}")

    def names(self) -> list[str]:
        """Return the names of the directions, each group by falling eigenvalue."""
        return [f"sefa_{group}_{k}" for group in self.groups for k in range(self.components)]


def find_sefa(inputs: FinderInputs, options: SefaOptions) -> list[Direction]:
    """Return the directions of W that change the styles of each group most.

    Raises:
        ParamsError: more components than W has dimensions, or rows that the generator does not have.
    """
    generator = inputs.generator
    assert generator is not None  # declared in the registry
    if options.components > generator.w_dim:
        raise ParamsError(f"components: wanted at most {generator.w_dim} (w_dim), got {options.components}")
    directions = []
    for group, rows in options.groups.items():
        first, last = row_range(rows.first_row, rows.last_row, generator.num_ws, f"sefa {group}")
        vectors, eigenvalues = factorise(style_matrix(generator, first, last))
        share = eigenvalues / eigenvalues.sum()
        directions += [
            Direction(
                name=f"sefa_{group}_{k}",
                space="w",
                method="sefa",
                vector=vectors[k],
                unit=step_length(inputs.samples.w, vectors[k]),
                first_row=first,
                last_row=last,
                quality={"eigenvalue_share": float(share[k])},
            )
            for k in range(options.components)
        ]
    return directions


def style_matrix(generator: Generator, first: int, last: int) -> np.ndarray:
    """Return the affine matrices of rows [first, last) one below the other, float64 [channels, w_dim].

    Of toRGB layers only the last one counts, as in the authors' code: the others lie beside the chain of convolutions.
    """
    layout = generator.style_layout
    weights = generator.style_weights()
    chosen = [slot for slot in layout if first <= slot.row < last and (not slot.to_rgb or slot is layout[-1])]
    return np.concatenate([weights[slot.name].cpu().double().numpy() for slot in chosen])


def factorise(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the eigenvectors of ``A^T A`` for A with rows of length 1.

    Args:
        matrix: [channels, d]. Channels that no w changes (zero rows) are left out.

    Returns:
        Unit rows [d, d] by falling eigenvalue, and the eigenvalues [d].
    """
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    # A channel with a large gain is not a more important one: a later convolution may have small weights for it.
    normed = matrix[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    eigenvalues, columns = np.linalg.eigh(normed.T @ normed)
    return signed(columns.T[::-1]), eigenvalues[::-1].clip(min=0)

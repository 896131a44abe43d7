"""From a code of one space to the code of another that draws the same picture."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.spaces.base import Space, Variables

__all__ = ["convert"]


def convert(variables: Mapping[str, Tensor], source: Space, target: Space) -> Variables:
    """Codes [N, ...] of `source` as codes of `target`, on the same generator.

    The way goes through ws and never back: Z to W to W+ to S, Z+ to W+, P_N like W, and from any of them to a feature
    map or padding over W, W+, P_N or S. A space converts to itself unchanged.

    Raises:
        UnsupportedError: there is no such map: into Z (the mapping network has no inverse), out of S, Z++, feature maps
            and padding (ws do not say all that they do), or from rows that differ to one vector for all rows.
    """
    where = f"{source.name} to {target.name}"
    if source.generator is not target.generator:
        raise UnsupportedError(f"{where}: the two spaces belong to different generators; codes mean nothing elsewhere")
    source.check(variables)
    if source.name == target.name:
        return {name: value.clone() for name, value in variables.items()}
    if target.tied and not source.tied:
        raise UnsupportedError(
            f"{where}: rows of ws differ in {source.name}, {target.name} has one vector for all; use its + space"
        )
    try:
        return target.from_ws(source.to_ws(variables))
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from error

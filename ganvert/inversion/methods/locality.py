"""Locality regularisation (pivotal tuning, Roich et al. 2021, arXiv 2106.05744, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.images import as_rgb
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.methods.pivot import Pivot, TunedCopy
from ganvert.inversion.methods.tune_options import Locality
from ganvert.inversion.objective import Objective

__all__ = ["LocalityLoss"]


class LocalityLoss:
    """Keeps the images of codes around one pivot as the old generator drew them."""

    def __init__(self, pivot: Pivot, tuned: TunedCopy, context: Context, options: Locality) -> None:
        """Raise UnsupportedError where the pivot has no ws to move away from."""
        synthesis_input = pivot.synthesis_input()
        if synthesis_input.ws is None or synthesis_input.features or synthesis_input.styles:
            raise UnsupportedError("locality: it moves ws, which the code of the stage before has none of")
        self._seed, self._pivot = pivot.seed, synthesis_input.ws.detach()
        self._tuned, self._context, self._options = tuned, context, options

    def __call__(self, step: int) -> Tensor | float:
        """Return the loss at one random code, a number; 0 in the steps between two of every `every`."""
        if step % self._options.every:
            return 0.0
        old, pivot, seed = self._tuned.old, self._pivot, item_seed(self._seed, "locality", step)
        with torch.no_grad():
            # w_r = w_p + alpha (w_z - w_p) / |w_z - w_p|, the norm over all rows together.
            step_to_random = old.map(normal([seed], (old.z_dim,)).to(pivot), psi=self._options.psi) - pivot
            ws = pivot + self._options.distance * step_to_random / step_to_random.norm()
            # Without noise, so that only what the code decides is compared (as in the authors' code).
            nearby = SynthesisInput(ws=ws, noise="none")
            target = as_rgb(old.synthesize(nearby))
        objective = Objective(self._options.objective, Batch(targets=target, seeds=[seed]), self._context)
        return objective(self._tuned.new.synthesize(nearby))[0]

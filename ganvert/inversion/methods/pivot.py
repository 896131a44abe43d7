"""What tuning works with: the generator that learns, and one photograph with its pivot."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ganvert.base.errors import UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.tuned import copy_of
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.methods.tune_options import TuneOptions
from ganvert.inversion.objective import Objective, Term
from ganvert.spaces import Variables, make_space, to_device
from ganvert.spaces.masked import Masked

__all__ = ["Pivot", "TunedCopy", "descend", "tuned_names"]


def tuned_names(generator: Generator, tuned: Literal["synthesis", "features"]) -> list[str]:
    """Return names of the parameters that learn: all but the mapping's, and but the affine layers' in ``features``.

    Autograd says which is which, so that it holds for every architecture.
    """
    probe = copy.deepcopy(generator).requires_grad_(True)
    z = normal([0], (generator.z_dim,)).to(generator.w_avg)
    labels = torch.eye(generator.label_dim, device=z.device)[:1] if generator.label_dim else None
    # The mapping network never learns: codes of Z and W keep their meaning, and directions found with the original
    # generator still apply.
    frozen = _reached(probe, probe.map_to_w(z, labels))
    if tuned == "features":
        ws = generator.w_avg.expand(1, generator.num_ws, -1)
        # Affine layers carry a direction of W to the channels it changes. Frozen, they keep edits as they were.
        frozen |= _reached(probe, torch.cat([style.flatten() for style in probe.styles(ws).values()]))
    return [name for name, value in probe.named_parameters() if name not in frozen and value.is_floating_point()]


def _reached(module: nn.Module, output: Tensor) -> set[str]:
    """Return names of the parameters that the output depends on."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    return {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}


class TunedCopy:
    """A copy of the generator whose chosen parameters learn, and its best state so far.

    Attributes:
        old: the generator as it was, frozen.
        new: the copy.
        parameters: those of the copy that learn, by name.
        adam: their optimiser.
        best_step: the step whose weights were the best so far.
    """

    def __init__(self, generator: Generator, options: TuneOptions) -> None:
        self.old, self.new = generator, copy_of(generator)
        chosen = set(tuned_names(generator, options.tuned))
        self.parameters = {name: p for name, p in self.new.named_parameters() if name in chosen}
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.adam = torch.optim.Adam(self.parameters.values(), lr=options.lr, betas=options.betas)
        self._best, self._best_value, self.best_step = self._copied(), math.inf, 0

    def record(self, step: int, value: float) -> bool:
        """Keep the present weights if `value`, their objective, is the best so far; return whether it is."""
        best = value < self._best_value
        if best:
            self._best, self._best_value, self.best_step = self._copied(), value, step
        return best

    def freeze(self) -> None:
        """Let no weight learn from now on."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)

    def differences(self, keep: Literal["last", "best"]) -> dict[str, Tensor]:
        """Return what was learned: name to new less old weights, float32 on the CPU."""
        now = self._best if keep == "best" else self._copied()
        before = dict(self.old.named_parameters())
        # Differences, because they are what is stored: small, and in float16 precise where the weights would not be.
        return {name: (value - before[name]).cpu() for name, value in now.items()}

    def _copied(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}


def descend(loss: Tensor, optimisers: Sequence[tuple[torch.optim.Adam, float]]) -> None:
    """Take one step of every optimiser, each at its rate, along the gradient of one loss."""
    for adam, lr in optimisers:
        for group in adam.param_groups:
            group["lr"] = lr
        adam.zero_grad(set_to_none=True)
    loss.backward()
    for adam, _ in optimisers:
        adam.step()


class Pivot:
    """One photograph and its code, which stays where it is, while the generator around it learns.

    Of the code, only masked feature differences may learn too (``differences`` of the options).

    Attributes:
        seed: of the photograph.
        adam: the optimiser of the differences, or None.
        targets: the photograph, [1, 3, resolution, resolution].
        objective: the losses of the image against it.
        gate: yields for every step whether the objective acts.
    """

    def __init__(self, part: Batch, tuned: TunedCopy, context: Context, options: TuneOptions) -> None:
        """Prepare the targets.

        Args:
            part: the photograph alone, with its code.
            tuned: the generator that learns.
            context: where weights, masks and pictures lie.
            options: the preset.

        Raises:
            UnsupportedError: differences are to learn, and the code has none.
        """
        start = part.require_start()
        self._space = make_space(start.space, tuned.new)
        self._variables = to_device(start.variables, context.device)
        self._noise = [value.to(context.device) for value in start.noise]
        self._learning = self._differences() if options.differences else {}
        self.adam = torch.optim.Adam(self._learning.values(), lr=options.lr) if self._learning else None
        self._best = {name: value.detach().clone() for name, value in self._learning.items()}
        self.seed, self.targets = part.seeds[0], part.targets
        self.objective = Objective(options.objective, part, context)
        self._below, self._stop = math.inf, None
        if options.stop:
            term = Term(loss=options.stop.loss, resolution=options.stop.resolution)
            # A loss of its own: PTI stops at an LPIPS of 0.06, while its objective also holds the MSE.
            self._below, self._stop = options.stop.below, Objective((term,), part, context)
        self.gate = self._gate(options.share)

    def _differences(self) -> Variables:
        """Make the code's differences learn, and return them by name."""
        if not isinstance(self._space, Masked):
            raise UnsupportedError(
                f"tune: differences: codes of space {self._space.name!r} have none; choose their masks before "
                "(inverter: assign)"
            )
        for name in self._space.differences:
            self._variables[name] = self._variables[name].clone().requires_grad_()
        return {name: self._variables[name] for name in self._space.differences}

    def record(self) -> None:
        """Keep the present differences as those of the best step."""
        self._best = {name: value.detach().clone() for name, value in self._learning.items()}

    def learned(self, keep: Literal["last", "best"]) -> Variables:
        """Return the differences that were learned, on the CPU; none where none learn."""
        found = self._best if keep == "best" else self._learning
        return {name: value.detach().cpu() for name, value in found.items()}

    def synthesis_input(self) -> SynthesisInput:
        """Return what the tuned generator draws for the code; in Z++ its affine layers, which learn, are part of it."""
        synthesis_input = self._space.decode(self._variables)
        return dataclasses.replace(synthesis_input, noise=self._noise) if self._noise else synthesis_input

    @torch.no_grad()
    def near_enough(self, image: Tensor) -> bool:
        """Return whether an image meets the bound where tuning stops."""
        return self._stop is not None and float(self._stop(image.detach())) <= self._below

    def _gate(self, share: float) -> Iterator[bool]:
        """Yield 1_p of near-perfect inversion: always true with share 1, otherwise a coin of the photograph's own.

        The slides do not explain the indicator; a Bernoulli variable for every step is our reading.
        """
        source = torch.Generator("cpu").manual_seed(item_seed(self.seed, "gate"))
        while True:
            # The coin is seeded by the photograph, so that the result does not depend on what is tuned beside it.
            yield share == 1 or float(torch.rand((), generator=source)) < share

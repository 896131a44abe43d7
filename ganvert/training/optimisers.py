"""Optimisers of encoder training, the decay of their learning rate, and their state as plain tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError, UnsupportedError
from ganvert.base.registry import lookup

__all__ = [
    "OPTIMISERS",
    "OptimiserOptions",
    "Ranger",
    "flat_state",
    "decayed_learning_rate",
    "load_flat_state",
    "make_optimiser",
    "set_learning_rate",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserOptions:
    """params.yaml: train_encoder.options.NAME.optimiser.

    Attributes:
        kind: name in :data:`OPTIMISERS`.
        lr: learning rate before its decay.
        betas: decay of the means of gradients and of their squares.
        eps: added to the root of the latter.
        weight_decay: of the squared weights in ``adam``, decoupled from the gradient in the other two.
        decay: of the learning rate, see :func:`decayed_learning_rate`.
        decay_factor: of the rate in ``decay_every`` steps, with ``step`` and ``exponential``.
        decay_every: steps; need not be whole with ``exponential``.
    """

    kind: str = "adam"
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay: Literal["none", "cosine", "step", "exponential"] = "none"
    decay_factor: float | None = None
    decay_every: float | None = None

    def __post_init__(self) -> None:
        lookup(OPTIMISERS, self.kind, "optimiser")
        if not 0 < self.lr < math.inf or not 0 < self.eps < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ParamsError("lr and eps must be above 0, weight_decay not negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ParamsError(f"betas must be from 0 to below 1, got {list(self.betas)}")
        given = self.decay_factor is not None, self.decay_every is not None
        if self.decay in ("step", "exponential"):
            if not all(given):
                raise ParamsError(f"decay {self.decay} needs decay_factor and decay_every")
            if not 0 < (self.decay_factor or 0) <= 1 or (self.decay_every or 0) <= 0:
                raise ParamsError("decay_factor must be above 0 and at most 1, decay_every above 0")
        elif any(given):
            raise ParamsError(f"decay_factor and decay_every belong to decay step and exponential, not to {self.decay}")


def decayed_learning_rate(step: int, steps: int, options: OptimiserOptions) -> float:
    """Return the learning rate at a step.

    Args:
        step: from 0 on.
        steps: of the whole run; used by ``cosine`` only.
        options: ``none`` stays at ``lr``. ``cosine`` falls to a tenth over the run. ``step`` multiplies by
            ``decay_factor`` every ``decay_every`` steps (BDInvert); ``exponential`` reaches the same without jumps
            (IDInvert).
    """
    if options.decay == "none":
        return options.lr
    if options.decay == "cosine":
        # From 0.55 + 0.45 = 1 to 0.55 - 0.45 = 0.1, a tenth and not zero.
        return options.lr * (0.55 + 0.45 * math.cos(math.pi * step / steps))
    assert options.decay_factor is not None and options.decay_every is not None
    times = step / options.decay_every
    return options.lr * options.decay_factor ** (math.floor(times) if options.decay == "step" else times)


class Ranger(torch.optim.RAdam):
    """RAdam under Lookahead with centred gradients, the optimiser of pSp, e4e and ReStyle.

    RAdam (Liu et al. 2019, arXiv 1908.03265) holds back Adam's scaling while its second moment is uncertain. Lookahead
    (Zhang et al. 2019, arXiv 1907.08610) keeps slow weights: every `k` steps they go the fraction `alpha` of the way to
    the fast ones, which start again from there. Gradients of matrices and kernels lose their mean per output
    (Yong et al. 2020, arXiv 2004.01461). Weight decay is decoupled. pSp's betas are 0.95 and 0.999, its eps is 1e-5.

    The slow weights are in ``state`` beside the moments, so that ``state_dict`` is complete.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        *,
        # k and alpha are the defaults of the Ranger in pSp's release.
        k: int = 6,
        alpha: float = 0.5,
        centre: bool = True,
    ) -> None:
        """Take the arguments of RAdam, `k` and `alpha` of Lookahead, and `centre` for centred gradients."""
        # RAdam rectifies once the length of the approximated average, rho, exceeds 5: with a beta2 of 0.999 from step 6
        # on. Until then its steps are those of gradient descent with momentum. PyTorch has that threshold fixed.
        super().__init__(parameters, lr, betas, eps, weight_decay, decoupled_weight_decay=True)
        self.k, self.alpha, self.centre = k, alpha, centre

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the fast weights; every k-th step ends at the slow weights."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        updated = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        # RAdam initialises its state only where the dict is empty: slow weights are added afterwards.
        started = {p: p.clone() for p in updated if "slow" not in self.state[p]}
        if self.centre:
            for p in updated:
                # Biases and gains have one number per output, and would lose all of their gradient.
                if p.ndim > 1:
                    p.grad.sub_(p.grad.mean(dim=tuple(range(1, p.ndim)), keepdim=True))
        super().step()
        for p in updated:
            state = self.state[p]
            if p in started:
                state["slow"] = started[p]
            # The moments are not reset: only the weights go back.
            if int(state["step"]) % self.k == 0:
                p.copy_(state["slow"].lerp_(p, self.alpha))
        return loss


def _adam(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, options.lr, options.betas, options.eps, options.weight_decay)


def _adamw(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, options.lr, options.betas, options.eps, options.weight_decay)


def _ranger(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    return Ranger(parameters, options.lr, options.betas, options.eps, options.weight_decay)


#: kind -> parameters and options to an optimiser
OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], OptimiserOptions], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "ranger": _ranger,
}


def make_optimiser(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    """Return the optimiser that `options` name, over `parameters`."""
    return lookup(OPTIMISERS, options.kind, "optimiser")(parameters, options)


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def flat_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as tensors that safetensors can hold: no pickle is needed to resume.

    Returns:
        "INDEX.NAME" -> state of a parameter ("0.exp_avg"), copies on the CPU; empty before the first step. Options such
        as the learning rate are not included: the resuming run builds its optimiser with the same ones.

    Raises:
        UnsupportedError: a part of the state is not a tensor.
    """
    flat: dict[str, Tensor] = {}
    for index, kept in optimiser.state_dict()["state"].items():
        for name, value in kept.items():
            if not isinstance(value, Tensor):
                raise UnsupportedError(
                    f"{type(optimiser).__name__} keeps {name} as a {type(value).__name__}, not as a tensor"
                )
            flat[f"{index}.{name}"] = value.detach().to("cpu", copy=True).contiguous()
    return flat


def load_flat_state(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Resume from :func:`flat_state` of an optimiser of the same kind over the same parameters, bit for bit.

    Raises:
        CheckpointError: these tensors are not of such an optimiser.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in flat.items():
        index, _, name = key.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters) or not name:
            raise CheckpointError(f"optimiser state: {key} belongs to none of its {len(parameters)} parameters")
        wanted = list(parameters[int(index)].shape)
        if value.ndim and list(value.shape) != wanted:
            raise CheckpointError(f"optimiser state: {key} has shape {list(value.shape)}, wanted {wanted}")
        # A copy: the optimiser updates its state in place, which must not change the caller's tensors.
        state.setdefault(int(index), {})[name] = value.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})

"""How fast an optimisation may be: lower precision, compilation, and how many images fit side by side.

What is faster is used only where it was measured to be near enough to eager float32; wherever it is not, or cannot be
had, a warning says why and the run goes on as it would have without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ganvert.base.errors import GanvertError, ParamsError
from ganvert.compute.memory import out_of_memory

if TYPE_CHECKING:  # generators are built on this package
    from ganvert.generators.base import Generator, SynthesisInput

__all__ = ["Engine", "Speed", "compile_cache"]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """How the inner loop of an optimisation computes. The default is what every result is compared with.

    Attributes:
        precision: ``float32``; ``tf32``, float32 whose products keep 10 bits of mantissa (CUDA GPUs since Ampere); or
            ``bf16``, generator and losses in bfloat16 where autocast holds that to be safe. Codes, the state of Adam,
            prepared targets and sums of losses are float32 in any case.
        compile: whether the generator is compiled (``torch.compile``, with a cache on disk; the first image waits for
            it). ``graphs`` records CUDA graphs of it too. On two CPU cores it measured no gain worth the wait.
        tolerance: relative difference of the objective and of its gradient from those of eager float32 that is
            allowed, measured on the first images of every method in every process.
    """

    precision: Literal["float32", "tf32", "bf16"] = "float32"
    compile: bool | Literal["graphs"] = False
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.tolerance <= 0:
            raise ParamsError(f"tolerance must be above 0, got {self.tolerance}")

    @property
    def plain(self) -> bool:
        """Whether it is eager float32."""
        return self.precision == "float32" and self.compile is False


class Engine:
    """One generator, drawing inside an optimisation: as it is, or faster where that is near enough (:meth:`settle`).

    Attributes:
        now: how it computes at present; what `speed` asked for only after :meth:`settle` found it good.
        fitting: how many images fit side by side, by kind of work.
    """

    def __init__(self, generator: Generator, speed: Speed | None = None) -> None:
        self.generator = generator
        self.speed = _possible(speed or Speed(), generator.w_avg.device)
        self.now = self._eager = Speed()
        self.fitting: dict[str, int] = {}
        self._settled: dict[str, Speed] = {}
        self._compiled: Callable[..., tuple[Tensor, dict[str, Tensor]]] | None = None

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return self.generator.w_avg.device

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Around a step, backward pass included: its products are of the present precision."""
        if self.now.compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # pictures of the last step are not looked at any more
        if self.now.precision != "tf32":
            yield
            return
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before

    def autocast(self) -> torch.autocast:
        """Around losses, and what they prepare; :meth:`run` sees to itself."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.now.precision == "bf16")

    def synthesize(self, told: SynthesisInput, px: int | None = None) -> Tensor:
        """Pictures [N, C, resolution, resolution], float32; with `px` such as :meth:`Generator.run` may draw then."""
        return self.run(told, px=px)[0]

    def run(
        self, told: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """:meth:`Generator.run` at the present speed; what comes out is float32."""
        with self.autocast():
            images, seen = self._run(told, {"read": read, "stop": stop, "px": px})
        return images.float(), {name: value.float() for name, value in seen.items()}

    def settle(self, what: str, evaluate: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Choose the speed for a kind of work, the fastest that is asked for and near enough; warn about others.

        Args:
            what: names the kind of work, which is measured once.
            evaluate: the objective [N] of some images and its gradient [N, numbers], at the speed that is set.
        """
        if self.speed.plain:
            return
        if what not in self._settled:
            self.now = self._eager
            told = evaluate()
            compiled = dataclasses.replace(self._eager, compile=self.speed.compile)
            exact = dataclasses.replace(self.speed, compile=False)
            tried = [self.speed, exact, compiled]
            wanted = [one for i, one in enumerate(tried) if not one.plain and one not in tried[:i]]
            self._settled[what] = next((one for one in wanted if self._near(one, evaluate, told)), self._eager)
        self.now = self._settled[what]

    def _near(self, speed: Speed, evaluate: Callable[[], tuple[Tensor, Tensor]], told: tuple[Tensor, Tensor]) -> bool:
        """Whether the objective and its gradient are within the tolerance of those of eager float32, `told`."""
        if speed.compile and not self.speed.compile:  # failed a moment ago
            return False
        self.now = speed
        value, gradient = evaluate()
        if self.now != speed:  # it cannot be had, and that was said
            return False
        usable = told[0].isfinite() & told[1].isfinite().all(dim=1)  # photographs that diverge anyway say nothing
        off = max(_difference(value, told[0], usable), _difference(gradient, told[1], usable))
        if off <= self.speed.tolerance:
            log.info("%s: differs from eager float32 by %.1e at most", _name(speed), off)
            return True
        log.warning(
            "%s: the objective or its gradient differs from that of eager float32 by %.1e, more than the tolerance "
            "of %.1e; it is not used",
            *(_name(speed), off, self.speed.tolerance),
        )
        return False

    def _run(self, told: SynthesisInput, more: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        if self.now.compile is False:
            return self.generator.run(told, **more)
        try:
            if self._compiled is None:
                compile_cache()
                import torch._dynamo  # takes a second, so only where it is wanted

                # One picture, several, with gradients or without, features of a preview: each is compiled by itself.
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
                mode = "reduce-overhead" if self.now.compile == "graphs" else None
                self._compiled = torch.compile(self.generator.run, mode=mode)
            return self._compiled(told, **more)
        except GanvertError:
            raise
        except Exception as error:  # whatever a compiler may fail with, the run can do without it
            if out_of_memory(error):
                raise
            self._give_up(error)
        return self.generator.run(told, **more)

    def _give_up(self, error: Exception) -> None:
        """No more compilation in this process."""
        lines = str(error).strip().splitlines()
        log.warning("compile: failed, eager goes on: %s: %s", type(error).__name__, lines[0] if lines else "no reason")
        without = {"compile": False}
        self.speed = dataclasses.replace(self.speed, **without)  # type: ignore[arg-type]
        self.now = dataclasses.replace(self.now, **without)  # type: ignore[arg-type]
        self._settled = {what: dataclasses.replace(one, **without) for what, one in self._settled.items()}  # type: ignore[arg-type]


def _name(speed: Speed) -> str:
    compiled = {False: "eager", True: "compiled", "graphs": "CUDA graphs"}[speed.compile]
    return f"{speed.precision}, {compiled}"


def _difference(ours: Tensor, theirs: Tensor, usable: Tensor) -> float:
    """The largest relative difference of rows; infinite where there are numbers only in one of them."""
    if not usable.any():
        return 0.0
    ours, theirs = (numbers[usable].double().flatten(start_dim=min(1, numbers.ndim - 1)) for numbers in (ours, theirs))
    pairs = zip(ours, theirs, strict=True)
    off = torch.stack([(a - b).norm() / b.norm().clamp_min(torch.finfo(torch.float32).tiny) for a, b in pairs])
    return float(off.nan_to_num(nan=torch.inf).amax())


def _possible(speed: Speed, device: torch.device) -> Speed:
    """What of `speed` this machine can do; the rest is warned about."""
    if device.type != "cuda":
        if speed.precision == "tf32":
            log.warning("precision: tf32: wanted a CUDA GPU, this runs on %s; float32 is used", device.type)
            speed = dataclasses.replace(speed, precision="float32")
        if speed.compile == "graphs":
            log.warning("compile: graphs: wanted a CUDA GPU, this runs on %s; nothing is compiled", device.type)
            speed = dataclasses.replace(speed, compile=False)
    elif speed.precision != "float32" and torch.cuda.get_device_capability(device) < (8, 0):
        log.warning(
            "precision: %s: wanted a GPU of compute capability 8.0 or more, %s has less; float32 is used",
            *(speed.precision, torch.cuda.get_device_name(device)),
        )
        speed = dataclasses.replace(speed, precision="float32")
    return speed


def compile_cache() -> Path:
    """The folder where compiled code is kept for later processes: $TORCHINDUCTOR_CACHE_DIR, else the user's cache."""
    default = Path.home() / ".cache" / "ganvert" / "compiled"
    return Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(default)))

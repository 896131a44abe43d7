"""How fast an optimisation computes: lower precision and compilation.

Faster computation is used only where it was measured to be near enough to eager float32. Wherever it is not, or is not
available, a warning says why and the run continues in eager float32.

On a CPU with AVX512-BF16 or AMX, generator and VGG losses run in bfloat16 on channels-last tensors. In a prototype,
forward and backward of a VGG16 trunk took 0.145 s in place of 0.99 s, those of the default generator 0.42 s in place of
0.70 s (one core, AMX, PyTorch 2.13). Memory format decides: autocast on channels-first code gains nothing.

Precision is a property of the machine, so that results differ in their last digits between machines. What a machine
uses stands in the key of its work and in the metadata of codes. Results are always drawn and scored in float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from ganvert.base.errors import GanvertError, ParamsError
from ganvert.base.files import user_cache
from ganvert.compute.kernels import fast_bfloat16, to_channels_last
from ganvert.compute.memory import out_of_memory

if TYPE_CHECKING:  # generators are built on this package
    from ganvert.generators.base import Generator, SynthesisInput

__all__ = ["AUTO", "PLAIN", "Engine", "Precision", "Speed", "compile_cache", "speed_here"]

log = logging.getLogger(__name__)


Precision = Literal["auto", "float32", "tf32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """How the inner loop of an optimisation computes.

    Attributes:
        precision: ``float32``, the reference for all others; ``tf32``, float32 whose products keep 10 bits of mantissa
            (CUDA GPUs since Ampere); ``bfloat16``, generator and losses in bfloat16, on a GPU wherever autocast
            considers it safe; or ``auto``: ``bfloat16`` on a CPU that is fast at it, otherwise ``float32``. Codes, the
            state of Adam, prepared targets, styles and sums of losses are float32 in any case.
        compile: whether to compile the generator (``torch.compile``, with a cache on disk; the first image waits for
            it). ``graphs`` also records CUDA graphs. On a CPU it is not worth the wait: 190 s to compile, and slower.
        tolerance: largest relative difference of the objective from that of eager float32, measured on the first
            images of every method in every process.
        gradient_tolerance: the same for its gradient. It is the length of a difference, which is mostly noise: units
            of VGG16 near 0 fall on the other side of their threshold. In bfloat16 it is 0.07 in W+ and 0.21 in a
            feature map, at cosines of 0.998 and 0.978, and Adam averages over steps.
    """

    precision: Precision = "auto"
    compile: bool | Literal["graphs"] = False
    tolerance: float = 0.02
    gradient_tolerance: float = 0.3

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ParamsError(f"precision: wanted one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        for name in ("tolerance", "gradient_tolerance"):
            if getattr(self, name) <= 0:
                raise ParamsError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def plain(self) -> bool:
        """Whether it is eager float32."""
        return self.precision == "float32" and self.compile is False

    @property
    def name(self) -> str:
        """In words: "bfloat16", "float32, compiled"."""
        return self.precision + {False: "", True: ", compiled", "graphs": ", CUDA graphs"}[self.compile]


#: The fastest that the device has and that is near enough.
AUTO = Speed()
#: Eager float32, the reference.
PLAIN = Speed(precision="float32")


class Engine:
    """One generator, drawing inside an optimisation: as it is, or faster where that is near enough (:meth:`settle`).

    Attributes:
        speed: what was asked for, as far as this machine can do it.
        now: how it computes at present; `speed` only after :meth:`settle` found it near enough.
        fitting: how many images fit side by side, by kind of work (:class:`ganvert.compute.side_by_side.SideBySide`).
    """

    def __init__(self, generator: Generator, speed: Speed | None = None) -> None:
        self.generator = generator
        self.speed = speed_here(speed or PLAIN, generator.w_avg.device)
        self.now = PLAIN
        self.fitting: dict[str, int] = {}
        self._settled: dict[str, Speed] = {}
        self._compiled: Callable[..., tuple[Tensor, dict[str, Tensor]]] | None = None
        self._in_bfloat16: Generator | None = None

    @property
    def device(self) -> torch.device:
        """Device of the generator."""
        return self.generator.w_avg.device

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Compute products at the present precision; to be held around a step, its backward pass included."""
        if self.now.compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # CUDA graphs may overwrite the images of the last step
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
        """Return the context for losses and the targets they prepare; :meth:`run` enters it by itself."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.now.precision == "bfloat16")

    def synthesize(self, synthesis_input: SynthesisInput, px: int | None = None) -> Tensor:
        """Draw images [N, C, resolution, resolution], float32; with `px` they may be smaller, of at least `px`."""
        return self.run(synthesis_input, px=px)[0]

    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the generator at the present speed; arguments and result are those of ``Generator.run``, in float32."""
        with self.autocast():
            images, activations = self._run(synthesis_input, {"read": read, "stop": stop, "px": px})
        return images.float(), {name: value.float() for name, value in activations.items()}

    def settle(self, kind: str, evaluate: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Choose the speed for a kind of work: the fastest that is asked for and near enough. Warn about others.

        Args:
            kind: names the kind of work, which is measured once.
            evaluate: returns the objective [N] of some images and its gradient [N, numbers], at the speed that is set.
        """
        if self.speed.plain:
            return
        if kind not in self._settled:
            self.now = PLAIN
            reference = evaluate()
            # From fast to slow: all that is asked for, then its precision or its compilation alone.
            only_precision = dataclasses.replace(self.speed, compile=False)
            only_compiled = dataclasses.replace(PLAIN, compile=self.speed.compile)
            speeds = dict.fromkeys([self.speed, only_precision, only_compiled])
            tried = [speed for speed in speeds if not speed.plain]
            self._settled[kind] = next((s for s in tried if self._near(s, evaluate, reference)), PLAIN)
        self.now = self._settled[kind]

    def fall_back(self, reason: str) -> None:
        """Compute in float32 from now on, with a warning."""
        log.warning("precision: %s: %s; the run goes on in float32", self.now.precision, reason)
        self._use_from_now_on(precision="float32")

    def _near(
        self, speed: Speed, evaluate: Callable[[], tuple[Tensor, Tensor]], reference: tuple[Tensor, Tensor]
    ) -> bool:
        """Return whether objective and gradient are within their tolerances of `reference`, those of eager float32."""
        if speed.compile and not self.speed.compile:  # compilation failed while another speed was tried
            return False
        self.now = speed
        try:
            value, gradient = evaluate()
        except RuntimeError as error:  # an operator that this machine lacks
            if speed.precision == "float32" or out_of_memory(error):
                raise
            log.warning("%s: not available here: %s; it is not used", speed.name, error)
            return False
        if self.now != speed:  # compilation failed, and a warning was logged
            return False
        usable = reference[0].isfinite() & reference[1].isfinite().all(dim=1)  # ignore images that diverge anyway
        errors = [_difference(*pair, usable) for pair in zip((value, gradient), reference, strict=True)]
        limits = [self.speed.tolerance, self.speed.gradient_tolerance]
        if errors[0] <= limits[0] and errors[1] <= limits[1]:
            log.info("computing in %s: objectives differ by %.1e from float32, gradients by %.1e", speed.name, *errors)
            return True
        log.warning(
            "%s: the objective or its gradient differs from that of float32 by %.1e and %.1e, more than the tolerance "
            "of %.1e and %.1e; it is not used",
            *(speed.name, *errors, *limits),
        )
        return False

    def _run(self, synthesis_input: SynthesisInput, options: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        if self.now.compile is False:
            if self.now.precision == "bfloat16" and self.device.type == "cpu":
                return self._run_in_bfloat16(synthesis_input, options)
            return self.generator.run(synthesis_input, **options)
        try:
            if self._compiled is None:
                compile_cache()
                import torch._dynamo  # takes a second, so only where it is needed

                # One image, several, with gradients or without, features of a preview: each is compiled separately,
                # and the default limit of 8 recompilations would end that silently.
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
                mode = "reduce-overhead" if self.now.compile == "graphs" else None
                self._compiled = torch.compile(self.generator.run, mode=mode)
            return self._compiled(synthesis_input, **options)
        except GanvertError:
            raise
        except Exception as error:  # whatever the compiler fails with, the run can do without it
            if out_of_memory(error):
                raise
            self._give_up(error)
        return self.generator.run(synthesis_input, **options)

    def _run_in_bfloat16(
        self, synthesis_input: SynthesisInput, options: Mapping[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the copy with channels last; all types are given there, so that autocast has nothing to decide."""
        if self._in_bfloat16 is None:
            self._in_bfloat16 = self.generator.in_bfloat16()
        cast: dict[str, Any] = {}
        for name in ("features", "scales", "deltas", "masks", "padding"):
            given = getattr(synthesis_input, name)
            cast[name] = given and {key: to_channels_last(value) for key, value in given.items()}
        if not isinstance(synthesis_input.noise, str):
            cast["noise"] = [value.to(torch.bfloat16) for value in synthesis_input.noise]
        with torch.autocast("cpu", enabled=False):
            return self._in_bfloat16.run(dataclasses.replace(synthesis_input, **cast), **options)

    def _give_up(self, error: Exception) -> None:
        """Compile nothing any more in this process."""
        lines = str(error).strip().splitlines()
        log.warning(
            "compile: failed, continuing eagerly: %s: %s", type(error).__name__, lines[0] if lines else "no reason"
        )
        self._use_from_now_on(compile=False)

    def _use_from_now_on(self, **change: Any) -> None:
        """Change the speed that is asked for, the present one, and those that were settled."""
        self.speed, self.now = dataclasses.replace(self.speed, **change), dataclasses.replace(self.now, **change)
        self._settled = {kind: dataclasses.replace(speed, **change) for kind, speed in self._settled.items()}


def _difference(ours: Tensor, theirs: Tensor, usable: Tensor) -> float:
    """Return the largest relative difference of usable rows; infinite where `ours` is not finite."""
    if not usable.any():
        return 0.0
    ours, theirs = (numbers[usable].double().flatten(start_dim=min(1, numbers.ndim - 1)) for numbers in (ours, theirs))
    pairs = zip(ours, theirs, strict=True)
    errors = torch.stack([(a - b).norm() / b.norm().clamp_min(torch.finfo(torch.float32).tiny) for a, b in pairs])
    return float(errors.nan_to_num(nan=torch.inf).amax())


def speed_here(speed: Speed, device: torch.device) -> Speed:
    """Return what of `speed` a device of this machine can do, with ``auto`` decided; warn about the rest.

    It depends on the machine alone, not on what is computed, so that it can be part of the key of work.
    """
    if speed.precision == "auto":
        # On GPUs nothing was measured: there bfloat16 is for users who ask for it.
        fast = device.type == "cpu" and speed.compile is False and fast_bfloat16()
        speed = dataclasses.replace(speed, precision="bfloat16" if fast else "float32")
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
    """Return the folder of compiled code for later processes: $TORCHINDUCTOR_CACHE_DIR, otherwise the user's cache."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(user_cache() / "compiled")
    return Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])

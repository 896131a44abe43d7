"""Training on several GPUs or machines, started by ``torchrun``: every process has all weights and a share of a batch.

Modules are not wrapped. A process computes the losses of its images, *sums* them and divides by the size of the whole
batch; gradients are summed over the processes. The step is then that of one process with the whole batch, up to the
order of sums, and but for dropout and HFGI's misalignment, whose random numbers every process draws for its own share.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganvert.base.errors import UnsupportedError

__all__ = [
    "World",
    "collect",
    "leave",
    "share",
    "sum_",
    "sum_gradients",
    "synchronised",
    "world",
]

T = TypeVar("T")

#: Numbers that are sent at once: large enough for full bandwidth, small beside the weights.
_BUCKET = 1 << 24
#: One process may draw samples or validate for hours while the others wait.
_PATIENCE = timedelta(hours=4)


@dataclasses.dataclass(frozen=True)
class World:
    """The number of this process, and of how many."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes get here, for example before reading a file that the main one writes."""
        if self.size > 1:
            dist.barrier()

    def sum(self, record: Mapping[str, float]) -> dict[str, float]:
        """Return numbers by name, each summed over the processes that have it; the same in all of them."""
        if self.size == 1:
            return dict(record)
        records: list[dict[str, float]] = [{} for _ in range(self.size)]
        dist.all_gather_object(records, dict(record))
        names = dict.fromkeys(name for part in records for name in part)
        return {name: sum(part[name] for part in records if name in part) for name in names}


def world() -> World:
    """Return the processes that ``torchrun`` started; one process without it.

    The first call joins the others and, where there are GPUs, makes the one of this process's number current (so that
    "cuda" means it). CPU tensors then go through gloo, those on a GPU through NCCL.

    Raises:
        UnsupportedError: WORLD_SIZE is set without the rest of what torchrun sets, or there are fewer GPUs than
            processes on this machine.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        return World()
    if not dist.is_initialized():
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            raise UnsupportedError(f"WORLD_SIZE is {size} but there is no {', '.join(missing)}: start with torchrun")
        gpus = torch.cuda.device_count()
        if gpus:
            local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
            if local >= gpus:
                raise UnsupportedError(f"process {local} of this machine has no GPU, there are {gpus}: start fewer")
            torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl" if gpus and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    return World(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Leave the other processes at the end; does nothing in a single process."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(items: Sequence[T], world: World) -> list[T]:
    """Return this process's part of a batch: every `size`-th item, so that shares differ by at most one."""
    # Interleaved: photographs come first in a batch, so that runs would give some processes samples only.
    return list(items[world.rank :: world.size])


def sum_(tensor: Tensor, world: World) -> Tensor:
    """Sum a tensor over all processes in place, and return it."""
    if world.size > 1:
        dist.all_reduce(tensor)
    return tensor


def collect(part: Tensor, world: World) -> Tensor:
    """Return the shares of all processes in the order of the batch, the inverse of :func:`share`, without gradients.

    Args:
        part: [n, ...]; n may differ between processes.
        world: see there.

    Returns:
        [sum of n, ...], the same in all processes.
    """
    if world.size == 1:
        return part.detach()
    counts = part.new_zeros(world.size, dtype=torch.int64)
    counts[world.rank] = len(part)
    longest = int(sum_(counts, world).max())
    dealt = part.new_zeros(longest, world.size, *part.shape[1:])
    # Row i, column r is item i * size + r of the batch, as it was dealt out.
    dealt[: len(part), world.rank] = part.detach()
    there = torch.arange(longest, device=part.device)[:, None] < counts
    return sum_(dealt, world)[there]  # each sum has only one term that is not zero: exact


def sum_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace every gradient by its sum over the processes, between ``backward`` and the optimiser's step.

    A parameter without a gradient in one process counts as 0 there; without one in any it stays so, and the optimiser
    leaves it alone. All processes must give the same parameters in the same order.
    """
    if world.size == 1:
        return
    for bucket in _buckets([p for p in parameters if p.requires_grad]):
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        # The flags travel in the same message as the gradients.
        there = bucket[0].new_tensor([float(p.grad is not None) for p in bucket])
        flat = sum_(torch.cat([there, *(gradient.flatten() for gradient in gradients)]), world)
        there, *sums = flat.split([len(bucket), *(p.numel() for p in bucket)])
        for p, count, value in zip(bucket, there.tolist(), sums, strict=True):
            if count:
                # A clone: views would keep the whole bucket in memory.
                p.grad = value.view_as(p).clone()


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield runs of parameters of one type and device, together not much above the limit."""
    bucket: list[nn.Parameter] = []
    for p in parameters:
        alike = not bucket or (p.dtype, p.device) == (bucket[0].dtype, bucket[0].device)
        if not alike or sum(other.numel() for other in bucket) >= _BUCKET:
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket


def synchronised(module: nn.Module, world: World) -> nn.Module:
    """Return the module with batch normalisation over the whole batch, not over a share of it.

    Returns:
        The module itself in one process or without such layers. Otherwise its layers are replaced by
        ``nn.SyncBatchNorm``, which has the same parameters under the same names; call this before an optimiser is made.

    Raises:
        UnsupportedError: such layers are on a CPU, where PyTorch cannot do that.
    """
    if world.size == 1:
        return module
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
    }
    if not layers:
        return module
    for name, layer in layers.items():
        tensors = [*layer.parameters(), *layer.buffers()]
        if any(not tensor.is_cuda for tensor in tensors) or not tensors:
            raise UnsupportedError(
                f"{world.size} processes: {name} normalises over a batch, which PyTorch does across processes on GPUs "
                "only; train in one process, on GPUs, or with a backbone without batch normalisation"
            )
    return nn.SyncBatchNorm.convert_sync_batchnorm(module)

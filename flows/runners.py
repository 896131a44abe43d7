"""Where shards are computed: child processes of the flow, a Dask cluster or a Ray cluster.

A runner is a context manager that starts workers, or joins a cluster, and yields a `Runner`. An exception inside it
ends at once what it has started. The Prefect task of a shard runs in a thread of the flow and waits for a worker.
Prefect tasks on the workers themselves (`DaskTaskRunner.submit`) cost 0.3 to 0.5 s per shard instead of 0.02, every
worker would have to reach Prefect's server, and Prefect cannot retry a task whose worker is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from stages.extract import (
    InputError,
    Job,
    ParamsError,
    Pool,
    Shard,
    ShardResult,
    UnsupportedError,
    WorkerLostError,
    default_workers,
    do_shard,
)

_RAY_TOKEN = secrets.token_hex(32)  # one per process

#: Called with the number of pictures of a shard that are done; fractions count.
OnProgress = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Runner:
    """Workers.

    Attributes:
        slots: returns how many shards they can work on in parallel at present.
        run: does one shard, from any thread; raises WorkerLostError if the worker was lost, else the worker's error.
        ending: set when the flow ends early: workers lost from then on were ended on purpose.
    """

    slots: Callable[[], int]
    run: Callable[[Shard, OnProgress], ShardResult]
    ending: threading.Event = dataclasses.field(default_factory=threading.Event)


@contextmanager
def threads(job: Job, work: Path, workers: int | None, address: str | None) -> Iterator[Runner]:
    """Start a child process for every slot of this machine."""
    if address:
        raise ParamsError(
            f"address: wanted none for the runner `threads`, which uses this machine alone, got {address!r}"
        )
    slots = workers or default_workers(job.device, job.threads)
    with Pool(job, work, slots) as pool:
        yield Runner(lambda: slots, pool.run)


@contextmanager
def dask(job: Job, work: Path, workers: int | None, address: str | None) -> Iterator[Runner]:
    """Start a local Dask cluster, or join the one whose scheduler is at `address` (tcp://HOST:8786)."""
    prefect_dask, distributed = _import_engine("prefect_dask"), _import_engine("distributed")
    lost = (distributed.scheduler.KilledWorker, distributed.CancelledError, distributed.comm.CommClosedError)
    options: dict[str, Any] = {"address": address}
    if not address:
        local: dict[str, Any] = {
            "n_workers": workers or default_workers(job.device, job.threads),
            "threads_per_worker": 1,
        }
        # No memory limit: the default, an equal share of the machine's, ends workers that load large models.
        local |= {"processes": True, "memory_limit": None, "dashboard_address": None}
        # TLS with certificates that exist in these processes only: who reaches a scheduler runs code on its workers,
        # and every user of this machine reaches its loopback interface.
        options = {"cluster_kwargs": {**local, "security": True}}
    with prefect_dask.DaskTaskRunner(**options) as prefect_runner:
        try:
            client = prefect_runner.client
        except OSError as error:
            raise InputError(f"address: no Dask scheduler answers at {address}: {error}") from error
        text = job.to_json()

        def run(shard: Shard, _: OnProgress) -> ShardResult:
            future = client.submit(do_shard, text, job.key, shard.to_json(), str(work), pure=False)
            try:
                return ShardResult(**future.result())
            except lost as error:
                raise WorkerLostError(f"shard {shard.key}: Dask lost its worker: {error}") from error

        try:
            yield Runner(lambda: _at_most(workers, len(client.nthreads())), run)
        except BaseException:
            if client.cluster is not None:  # closing it would wait for the shards in work
                for nanny in client.cluster.workers.values():
                    nanny.auto_restart = False
                    if nanny.pid:
                        os.kill(nanny.pid, signal.SIGKILL)
            raise


@contextmanager
def ray(job: Job, work: Path, workers: int | None, address: str | None) -> Iterator[Runner]:
    """Start a local Ray instance, or join the cluster at `address` (HOST:6379, ray://HOST:10001)."""
    cores = job.threads or 1
    local = (workers or default_workers(job.device, job.threads)) * cores
    start_options: dict[str, Any] = {} if address else {"num_cpus": local, "include_dashboard": False}
    with contextlib.ExitStack() as stack:
        if not address:
            stack.enter_context(_ray_token())  # Ray reads it when it is imported
        prefect_ray, engine = _import_engine("prefect_ray"), _import_engine("ray")
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            # "local", not None: None would join any Ray that happens to run on this machine.
            stack.enter_context(prefect_ray.RayTaskRunner(address=address or "local", init_kwargs=start_options))
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"address: no Ray cluster at {address or 'this machine'}: {error}; one with a token needs "
                "RAY_AUTH_MODE=token and its ~/.ray/auth_token here too"
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's would end a cancelled run as Crashed
        resource, per_worker = "CPU", cores
        options: dict[str, Any] = {"num_cpus": cores}
        if job.device != "cpu" and engine.cluster_resources().get("GPU"):
            resource, per_worker, options = "GPU", 1, {"num_gpus": 1}
            job = dataclasses.replace(job, device="cuda")  # Ray shows a worker its own GPU and no other
        # max_calls: by default a worker with a GPU ends after every shard, and the next loads all models again.
        text, remote = job.to_json(), engine.remote(max_calls=0, **options)(do_shard)
        running: set[Any] = set()

        def run(shard: Shard, _: OnProgress) -> ShardResult:
            reference = remote.remote(text, job.key, shard.to_json(), str(work))
            running.add(reference)
            try:
                return ShardResult(**engine.get(reference))
            except engine.exceptions.RayTaskError as error:
                raise error.cause from None  # the worker's own error, without Ray's frames
            except engine.exceptions.RayError as error:
                raise WorkerLostError(f"shard {shard.key}: Ray lost its worker: {error}") from error
            finally:
                running.discard(reference)

        try:
            yield Runner(lambda: _at_most(workers, int(engine.cluster_resources().get(resource, 0)) // per_worker), run)
        except BaseException:
            for reference in list(running):
                engine.cancel(reference, force=True)
            raise


@contextmanager
def _ray_token() -> Iterator[None]:
    """Let a Ray instance that starts inside answer to this process alone; a token that the user has set stays."""
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    names = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _RAY_TOKEN}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


#: Every runner by its name.
RUNNERS: dict[str, Callable[[Job, Path, int | None, str | None], AbstractContextManager[Runner]]] = {
    "threads": threads,
    "dask": dask,
    "ray": ray,
}
RunnerName = Literal["threads", "dask", "ray"]


def _at_most(workers: int | None, slots: int) -> int:
    return max(min(workers or slots, slots), 1)  # with none at present, one shard waits for the first worker


def _import_engine(name: str) -> ModuleType:
    """Import a package of the extra `cluster`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnsupportedError(
            f"this runner needs {name}: pip install -c constraints.txt 'ganvert[cluster]', or use the runner threads"
        ) from error


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where shards are computed, and in which project."""
    parser.add_argument("--runner", choices=list(RUNNERS), default="threads", help="default: threads")
    parser.add_argument("--workers", type=int, help="shards in parallel; default: what the machine or cluster has")
    parser.add_argument("--address", help="of a running cluster, e.g. tcp://HOST:8786 (dask), HOST:6379 (ray)")
    parser.add_argument("--retries", type=int, default=2, help="tries of a shard after its worker was lost; default: 2")
    parser.add_argument("--threads", type=int, default=1, help="CPU cores per worker; default: 1")
    parser.add_argument("--root", type=Path, default=Path(), help="folder with params.yaml (default: here)")

"""Register the flows with a Prefect server and run what its UI or a schedule starts: `python -m flows.serve`.

PREFECT_API_URL names the server; `python -m flows.ui` starts a server and this together.

What runs is decided here and not by the server: the flows of this process, in its own project. Prefect's usual
`serve` loads the code of every run from where the deployment in the server's database says, after any steps that it
lists there, and so runs whatever somebody has written into that database.
"""

# No `from __future__ import annotations` here: Prefect makes the form of the UI from the annotations of the flows,
# some of which are known only while `served` runs.

import argparse
import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.runner import Runner
from prefect.states import Failed
from pydantic import Field

from flows import extract, reproduce
from flows.folders import OUTPUTS, FolderError, Folders, add_options
from flows.runners import RunnerName
from stages.extract import GanvertError, methods

DEPLOYMENTS = {"reproduce": "ganvert-pipeline", "extract": "ganvert-extraction"}
DESCRIPTIONS = {
    "reproduce": "the DVC pipeline, one task per stage",
    "extract": "photographs to codes, one task per shard; run it again to resume",
}
_PR_SET_PDEATHSIG = 1  # see prctl(2)

Positive = Annotated[int, Field(ge=1)]


def served(folders: Folders) -> list[Flow[..., Any]]:
    """Return the flows that a request may start.

    They lack the parameters that name a project, a store or a cluster (whose answers are unpickled), and take paths
    only below folders that whoever starts this process has named.

    Args:
        folders: these folders.
    """
    return [_served_reproduce(folders), _served_extract(folders)]


# The annotations of the flows' results are strings, because the flows are sent to the processes of their runs by value,
# and State[None] cannot be pickled.


def _served_reproduce(folders: Folders) -> Flow[..., Any]:
    @flow(
        name="reproduce", flow_run_name=reproduce.reproduce.flow_run_name, task_runner=reproduce.reproduce.task_runner
    )
    def served_reproduce(targets: list[str] | None = None, force: bool = False) -> "State[None]":
        """Bring the DVC pipeline up to date, one task per stage.

        Args:
            targets: stages, groups of stages (`invert`) or outputs to bring up to date, with all they need; empty is
                all.
            force: run every one of these stages, changed or not.
        """
        end_with_parent()
        return reproduce.bring_up_to_date(folders.root, targets, force)

    return served_reproduce


def _served_extract(folders: Folders) -> Flow[..., Any]:
    Method = Annotated[str, Field(json_schema_extra={"enum": methods(folders.root)})]

    @flow(name="extract", flow_run_name=extract.extract.flow_run_name, task_runner=extract.extract.task_runner)
    def served_extract(
        photos: list[str] = [],  # noqa: B006  (Prefect shows it as the default)
        method: Method = "encoder",
        out: str = OUTPUTS[0],
        runner: RunnerName = "threads",
        workers: Positive | None = None,
        shard: Positive | None = None,
        retries: Annotated[int, Field(ge=0)] = 2,
        device: str | None = None,
        threads: Positive = 1,
    ) -> "State[None]":
        """Align, invert and score photographs, shard by shard. Run it again to resume.

        Args:
            photos: folders, pictures, .zip, .tar, .parquet with pictures, lists of paths (.txt, .csv, .jsonl); empty
                takes those of the pipeline (`align.photos` of params.yaml).
            method: a preset.
            out: folder for the tables.
            runner: threads (child processes), dask or ray, on this machine.
            workers: shards in parallel; None is one per GPU, and on a CPU one for every `threads` cores.
            shard: photographs per shard; None takes the value of params.yaml.
            retries: how often a shard is tried again after its worker was lost.
            device: auto, cpu, cuda or cuda:N; None takes the value of params.yaml.
            threads: CPU cores per worker. The last digits of sums depend on it.
        """
        end_with_parent()
        try:
            inputs, output = [str(folders.photo(path)) for path in photos], folders.output(out)
        except FolderError as error:
            return Failed(message=str(error))
        return extract.photographs_to_codes(
            inputs,
            method,
            output,
            runner,
            workers,
            shard=shard,
            retries=retries,
            device=device,
            threads=threads,
            root=folders.root,
        )

    return served_extract


def serve(folders: Folders, cron: str | None = None) -> None:
    """Register the flows as deployments and run what is started, until interrupted.

    Args:
        folders: what the runs may use.
        cron: schedule of the pipeline, e.g. `0 3 * * *`; None runs only what the UI or the API starts. Extractions get
            their schedules, with parameters, in the UI.
    """
    # One run at a time: each uses every core or GPU. The UI shows the next one as Late.
    runner = Runner(limit=1)
    for own in served(folders):
        # Given as objects, they run as they are here: the runner asks the server for parameters and nothing else.
        runner.add_flow(
            own,
            DEPLOYMENTS[own.name],
            cron=cron if own.name == "reproduce" else None,
            description=DESCRIPTIONS[own.name],
        )
    sys.stdout.write("serving " + ", ".join(f"{name}/{deployment}" for name, deployment in DEPLOYMENTS.items()) + "\n")
    sys.stdout.flush()
    asyncio.run(runner.start())


def end_with_parent() -> None:
    """Have this process get SIGTERM when the one that started it ends, however it ends (Linux only)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended in between
            os.kill(os.getpid(), signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.serve",
        description="Start and schedule the flows from the Prefect UI. Needs a server: "
        "set PREFECT_API_URL, e.g. http://127.0.0.1:4200/api, or use python -m flows.ui.",
    )
    add_options(parser)
    arguments = parser.parse_args(argv)
    try:
        serve(Folders.of(Path(), arguments.photos, arguments.out), arguments.cron)
    except KeyboardInterrupt:
        return 0
    except GanvertError as error:
        sys.stderr.write(f"flows.serve: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Register the flows with a Prefect server and run what its UI or a schedule starts: `python -m flows.serve`.

PREFECT_API_URL names the server; `python -m flows.ui` starts a server and this together.
"""

from __future__ import annotations

import argparse
import sys
from typing import cast

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
import prefect
from prefect.deployments.runner import RunnerDeployment

from flows.extract import extract
from flows.reproduce import reproduce

DEPLOYMENT = "ganvert"
SERVED = {
    "reproduce/ganvert": "the DVC pipeline, one task per stage",
    "extract/ganvert": "photographs to codes, one task per shard; run it again to resume",
}


def serve(cron: str | None = None) -> None:
    """Serve the deployments `reproduce/ganvert` and `extract/ganvert` until interrupted.

    Args:
        cron: schedule of the pipeline, e.g. `0 3 * * *`; None runs only what the UI or the API starts. Extractions get
            their schedules, with parameters, in the UI.
    """
    deployments = [
        flow.to_deployment(DEPLOYMENT, cron=when, description=SERVED[f"{flow.name}/{DEPLOYMENT}"])
        for flow, when in ((reproduce, cron), (extract, None))
    ]
    # One run at a time: each uses every core or GPU. The UI shows the next one as Late.
    prefect.serve(*cast(list[RunnerDeployment], deployments), limit=1)


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.serve",
        description="Start and schedule the flows from the Prefect UI. Needs a server: "
        "set PREFECT_API_URL, e.g. http://127.0.0.1:4200/api, or use python -m flows.ui.",
    )
    parser.add_argument(
        "--cron", help="also run the pipeline on this schedule, e.g. '0 3 * * *' for every night at three"
    )
    arguments = parser.parse_args(argv)
    try:
        serve(arguments.cron)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Register the flow with a Prefect server and run what its UI or a schedule asks for: `python -m flows.serve`.

The server is the one that PREFECT_API_URL names; `python -m flows.ui` starts one and this together.
"""

from __future__ import annotations

import argparse
import sys

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from flows.reproduce import reproduce

DEPLOYMENT = "ganvert"


def serve(cron: str | None = None) -> None:
    """Serve the deployment `reproduce/ganvert` until interrupted.

    Args:
        cron: schedule of its own runs, e.g. `0 3 * * *`; None runs only what is asked for in the UI or over the API.
    """
    # One run at a time: two would only wait for each other at DVC's lock. The next one waits in the UI as Late.
    reproduce.serve(name=DEPLOYMENT, cron=cron, limit=1, description="The DVC pipeline, one task a stage.")


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.serve",
        description="Make the pipeline startable and schedulable from the Prefect UI. Needs a server: "
        "set PREFECT_API_URL, e.g. http://127.0.0.1:4200/api, or use python -m flows.ui.",
    )
    parser.add_argument("--cron", help="also run it on this schedule, e.g. '0 3 * * *' for every night at three")
    arguments = parser.parse_args(argv)
    try:
        serve(arguments.cron)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

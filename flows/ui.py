"""Run a local Prefect server with its UI and the flows registered in it, until Ctrl-C: `python -m flows.ui`."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from flows import (
    command,
    settings,  # noqa: F401  (before prefect, which reads its environment when imported)
)

STARTUP_TIMEOUT = 180.0  # seconds; the first start makes the database


def main(argv: list[str] | None = None) -> int:
    """Start the server, wait until it answers, serve the flows; end all on Ctrl-C. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description="Prefect's UI with the flows in it.")
    parser.add_argument("--port", type=int, default=4200, help="of the server on 127.0.0.1 (default: 4200)")
    parser.add_argument("--cron", help="also run the pipeline on this schedule, e.g. '0 3 * * *'")
    arguments = parser.parse_args(argv)
    address = f"http://127.0.0.1:{arguments.port}"
    if _taken(arguments.port):
        sys.stderr.write(f"flows.ui: {address} is in use; end that server or choose another --port\n")
        return 1
    # The variable, not `prefect server start --port`: with that the UI would still connect to port 4200.
    os.environ["PREFECT_SERVER_API_PORT"] = str(arguments.port)
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    server = command.start([sys.executable, "-m", "prefect", "server", "start"], Path.cwd())
    try:
        if not _ready(server, address):
            sys.stderr.write(f"flows.ui: the Prefect server did not start at {address}; its output is above\n")
            return 1
        from flows.serve import SERVED, serve  # only now: prefect reads PREFECT_API_URL when it is imported

        sys.stdout.write(f"\nPrefect UI: {address}   (Ctrl-C ends the server and all runs)\n")
        sys.stdout.writelines(f"  {name:<18} {description}\n" for name, description in SERVED.items())
        sys.stdout.flush()
        serve(arguments.cron)
    except KeyboardInterrupt:
        pass
    finally:
        command.end(server)
        server.wait()
    return 0


def _ready(server: subprocess.Popen[bytes], address: str) -> bool:
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):  # refused, or an HTTP error while it is starting
            urllib.request.urlopen(f"{address}/api/health", timeout=2).close()
            return True
        time.sleep(0.2)
    return False


def _taken(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

"""Run a command, and make sure that neither it nor its children outlive the process that started it.

`python -m flows.guard [--slot FILE] COMMAND...`. The starter holds the other end of standard input. When that closes,
because the starter closes it, crashed or was killed with SIGKILL, the whole process group (the command, its shell,
its children) gets SIGINT, and after a grace time SIGKILL. Stages need no code for this, and no stage that is cut
short keeps DVC's locks. The guard has to lead its process group: start it in a new session, as `flows.command` does.

A command that is killed itself takes its children along: nobody would watch over them, and the slot would be free while
they work. Where the guard is killed, its starter ends the process group (`flows.command.wait`).

With `--slot` the command starts once the guard holds an exclusive flock on that file. The kernel releases the lock when
the guard ends, however it ends: nothing has to be cleaned up after a crash, and no server is needed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import threading

GRACE = 5.0  # seconds between SIGINT and SIGKILL


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code, 128 + n when signal n ended it."""
    parser = argparse.ArgumentParser(prog="python -m flows.guard", description="run a command, end it with its starter")
    parser.add_argument("--slot", metavar="FILE", help="hold an exclusive lock on FILE while the command runs")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # outlive both; SIG_IGN instead would be inherited by the command

    stopping, idle = threading.Event(), threading.Event()
    idle.set()
    watcher = threading.Thread(target=_end_with_starter, args=(stopping, idle), daemon=True)
    watcher.start()
    if arguments.slot:
        _take(arguments.slot)
    idle.clear()
    code = subprocess.run(arguments.command, stdin=subprocess.DEVNULL, check=False).returncode
    if code == -signal.SIGKILL:
        os.killpg(0, signal.SIGKILL)  # this process too, so that the starter hears of a kill
    idle.set()
    if stopping.is_set():
        watcher.join()  # it kills what the command left behind, and this process
    return code if code >= 0 else 128 - code


def _end_with_starter(stopping: threading.Event, idle: threading.Event) -> None:
    while os.read(0, 1024):  # the raw descriptor: a thread inside a buffered read would disturb a normal exit
        pass
    stopping.set()
    os.killpg(0, signal.SIGINT)
    idle.wait(GRACE)
    os.killpg(0, signal.SIGKILL)


def _take(path: str) -> None:
    slot = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)  # stays open, and so locked, until the end
    try:
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stdout.write(f"waiting for the GPU: another stage holds {path}\n")
        sys.stdout.flush()
        fcntl.flock(slot, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())

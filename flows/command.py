"""Child processes whose output is streamed line by line, and which end when the flow does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TAIL = 40  # lines kept for the error message

_lock = threading.Lock()
_running: set[subprocess.Popen[bytes]] = set()
_stopped = threading.Event()


class CommandError(RuntimeError):
    """A command that failed (exit code other than 0), or was not allowed to start."""


class KilledError(CommandError):
    """A command that was killed, or whose guard was; its children were ended with it."""


def start(
    command: Sequence[str], cwd: Path, slot: Path | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` under `flows.guard`; see `end`.

    Args:
        command: program and arguments.
        cwd: its working directory.
        slot: lock file to hold while it runs (see `flows.guard`).
        stdout: as for `subprocess.Popen`; if given, standard error goes there too.
    """
    guard = [sys.executable, "-I", str(Path(__file__).with_name("guard.py")), *(["--slot", str(slot)] if slot else [])]
    # `python` in a stage's command is the one that runs this, even where the environment is not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return subprocess.Popen(
        [*guard, *command],
        cwd=cwd,
        env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=None if stdout is None else subprocess.STDOUT,
        start_new_session=True,
    )


def stream(command: Sequence[str], cwd: Path, on_line: Callable[[str], None], slot: Path | None = None) -> None:
    """Run `command` and pass each line of its output (both streams, in order) to `on_line` as soon as it is written.

    Of a progress bar that redraws its line, only the last state is passed on.

    Raises:
        KilledError: it, or its guard, was killed.
        CommandError: it failed; the message ends with the last lines of its output.
    """
    with _lock:
        if _stopped.is_set():
            raise CommandError(f"{' '.join(command)}: not started, the flow is being stopped")
        process = start(command, cwd, slot, stdout=subprocess.PIPE)
        _running.add(process)
    tail: deque[str] = deque(maxlen=TAIL)
    assert process.stdout is not None
    # In a thread of its own: where the guard is killed, its children keep the output open until they are ended.
    waiting = threading.Thread(target=wait, args=(process,), daemon=True)
    waiting.start()
    with process:
        try:
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
                if line:
                    tail.append(line)
                    on_line(line)
        finally:
            end(process)
            waiting.join()
            with _lock:
                _running.discard(process)
    code = process.returncode
    if code == -signal.SIGKILL:
        raise KilledError("\n".join(["was killed, and its children with it; the end of its output:", *tail]))
    if code:
        raise CommandError("\n".join([f"exit code {code}; the end of its output:", *tail]))


@contextmanager
def end_all_on_error() -> Iterator[None]:
    """End every `stream`, in any thread, when an exception leaves the block (Ctrl-C, a cancelled run, SIGTERM)."""
    _stopped.clear()
    try:
        yield
    except BaseException:
        with _lock:
            _stopped.set()
            for process in _running:
                end(process)
        raise


def end(process: subprocess.Popen[bytes]) -> None:
    """Tell the guard of a started process to end it and all its children; :func:`wait` waits for that."""
    assert process.stdin is not None
    process.stdin.close()


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the guard of a started process; where it was killed, end what it watched over. Returns its exit code."""
    with contextlib.suppress(ChildProcessError):  # somebody has asked for its exit code already
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its id stays taken until the group has ended
    if process.poll() == -signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError):  # nothing is left
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()

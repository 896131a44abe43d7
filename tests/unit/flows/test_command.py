"""Child processes of the flow: their lines, their errors, and that none outlives its starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows import command
from flows.guard import GRACE

ROOT = Path(__file__).resolve().parents[3]
# A shell that starts a child, as DVC does with a stage; the child prints its pid and would sleep for long.
SLEEPER = ["sh", "-c", f"{sys.executable} -c 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'; true"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Inside a flow of its own, whatever an earlier test did to another."""
    with command.end_all_on_error():
        yield


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_lines_come_in_order_from_both_streams_and_a_progress_bar_is_one_line(tmp_path: Path) -> None:
    lines: list[str] = []
    command.stream(["sh", "-c", "echo a; echo b >&2; printf '1%%\\r50%%\\r100%%\\n'; pwd"], tmp_path, lines.append)
    assert lines == ["a", "b", "100%", str(tmp_path)]


def test_a_failure_carries_the_exit_code_and_the_tail(tmp_path: Path) -> None:
    with pytest.raises(command.CommandError, match=r"exit code 3(?s:.*)the reason"):
        command.stream(["sh", "-c", "seq 100; echo the reason; exit 3"], tmp_path, lambda _: None)


def test_an_exception_in_the_flow_ends_what_runs_in_other_threads(tmp_path: Path) -> None:
    pids: list[int] = []
    failures: list[command.CommandError] = []

    def on_line(line: str) -> None:
        if line.isdigit():  # after it comes the traceback of its KeyboardInterrupt
            pids.append(int(line))

    def work() -> None:
        try:
            command.stream(SLEEPER, tmp_path, on_line)
        except command.CommandError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    with pytest.raises(KeyboardInterrupt), command.end_all_on_error():
        thread.start()
        assert within(20, lambda: bool(pids))
        raise KeyboardInterrupt
    thread.join(20)
    assert gone(pids[0])
    assert len(failures) == 1
    with pytest.raises(command.CommandError, match="not started"):  # nothing new begins while the flow ends
        command.stream(["true"], tmp_path, lambda _: None)
    with command.end_all_on_error():
        command.stream(["true"], tmp_path, lambda _: None)


def test_nothing_outlives_a_starter_killed_with_sigkill(tmp_path: Path) -> None:
    code = f"from flows import command; from pathlib import Path; command.stream({SLEEPER!r}, Path(), print)"
    starter = subprocess.Popen([sys.executable, "-u", "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert within(GRACE + 10, lambda: gone(pid))


@pytest.mark.parametrize("victim", ["guard", "command"])
def test_a_killed_guard_or_command_takes_its_children_along_and_keeps_no_slot(tmp_path: Path, victim: str) -> None:
    slot, pids, failures = tmp_path / "gpu.lock", list[int](), list[BaseException]()

    def work() -> None:
        try:
            command.stream(SLEEPER, tmp_path, lambda line: pids.append(int(line)), slot)
        except command.KilledError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert within(20, lambda: bool(pids))
    guard = os.getpgid(pids[0])
    (shell,) = psutil.Process(guard).children()
    os.kill({"guard": guard, "command": shell.pid}[victim], signal.SIGKILL)
    thread.join(20)
    assert not thread.is_alive()
    assert within(5, lambda: gone(pids[0]))
    assert "was killed, and its children with it" in str(failures[0])
    lines: list[str] = []
    command.stream(["echo", "mine"], tmp_path, lines.append, slot)
    assert lines == ["mine"]


def test_the_slot_is_held_by_one_and_free_after_a_kill(tmp_path: Path) -> None:
    slot = tmp_path / "gpu.lock"
    first = command.start(["sleep", "600"], tmp_path, slot)
    assert within(20, slot.exists)
    time.sleep(0.2)
    lines: list[str] = []
    second = threading.Thread(target=command.stream, args=(["echo", "mine"], tmp_path, lines.append, slot))
    second.start()
    assert within(20, lambda: bool(lines))
    assert lines == [f"waiting for the GPU: another stage holds {slot}"]
    os.killpg(first.pid, signal.SIGKILL)
    second.join(20)
    assert lines[1:] == ["mine"]
    command.end(first)
    first.wait()

"""How much memory there is, how much some work takes, and how many images fit."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

from ganvert.compute.memory import auto_batch, free_memory, memory_budget, out_of_memory, peak_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("fixed", "each", "budget", "most", "fits"),
    [
        (10, 5, 100, 64, 18),
        (10, 5, 99, 64, 17),
        (10, 5, 14, 64, 1),  # not even one; to be tried all the same
        (10, 5, 19, 64, 1),
        (10, 5, 100, 4, 4),
        (10, 0, 100, 64, 64),
    ],
)
def test_as_many_as_fit(fixed: int, each: int, budget: int, most: int, fits: int) -> None:
    assert auto_batch(lambda count: fixed + each * count, budget, most) == fits


def test_where_two_do_not_fit_one_does() -> None:
    def measure(count: int) -> int:
        if count > 1:
            raise torch.OutOfMemoryError("full")
        return 10

    assert auto_batch(measure, 100) == 1

    def never(count: int) -> int:
        raise ValueError

    assert auto_batch(never, 100, most=1) == 1
    with pytest.raises(ValueError):
        auto_batch(never, 100)


def test_errors_that_say_that_memory_ran_out() -> None:
    assert out_of_memory(torch.OutOfMemoryError("x"))
    assert out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert out_of_memory(raised.value)
    assert not out_of_memory(RuntimeError("x"))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_the_machines_or_the_containers(version: Literal[1, 2], tmp_path: Path) -> None:
    assert free_memory(root=tmp_path) == 0
    write(tmp_path, proc__meminfo="MemTotal:  9000 kB\nMemAvailable:    2000 kB\n")
    assert free_memory(root=tmp_path) == 2_048_000
    names = {1: ("limit_in_bytes", "usage_in_bytes", "memory__memoryDOT"), 2: ("max", "current", "memoryDOT")}
    limit, used, before = names[version]
    group = f"sys__fs__cgroup__{before}"
    write(tmp_path, **{group + limit: "max\n", group + used: "500\n"})
    assert free_memory(root=tmp_path) == 2_048_000
    write(tmp_path, **{group + limit: "1000500\n"})
    assert free_memory(root=tmp_path) == 1_000_000
    write(tmp_path, **{group + limit: "9000000000\n"})
    assert free_memory(root=tmp_path) == 2_048_000
    write(tmp_path, **{group + limit: "400\n"})
    assert free_memory(root=tmp_path) == 0
    # Pages of files that nobody has come back to are used until somebody wants them.
    cached = {1: "inactive_file 9\ntotal_inactive_file 400\n", 2: "file 800\ninactive_file 400\n"}[version]
    write(tmp_path, **{f"{group}stat": f"anon 1\n{cached}slab 3\n"})
    assert free_memory(root=tmp_path) == 300


def test_the_peak_of_some_work_is_seen() -> None:
    size = 256 * 2**20

    def touch() -> None:
        with mmap.mmap(-1, size) as pages:
            for i in range(0, size, mmap.PAGESIZE):
                pages[i] = 1

    low = peak_memory(CPU, lambda: None)
    high = peak_memory(CPU, touch)
    assert 0.9 * size < high - low < 1.5 * size
    assert peak_memory(CPU, lambda: None) < high - 0.9 * size  # it is not the peak of all times
    assert memory_budget(CPU) > size


HEAPS = """
import threading
from ganvert.compute.memory import _status, give_back_freed_memory, keep_freed_memory

def work():
    pieces = [bytearray(2**20) for _ in range(100)]
    del pieces
    done.release()
    leave.wait()  # a thread that ended would pass its heap on

keep_freed_memory()
done, leave = threading.Semaphore(0), threading.Event()
before = _status("VmRSS")
for _ in range(4):
    threading.Thread(target=work).start()
    done.acquire()
print(_status("VmRSS") - before >> 20)
give_back_freed_memory()
print(_status("VmRSS") - before >> 20)
leave.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_threads_keep_what_they_freed_together_and_give_it_back_when_asked() -> None:
    """Four threads take and free 100 MB in turn: what the first has freed serves the others."""
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run(
        [sys.executable, "-c", HEAPS],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    kept, given_back = map(int, run.stdout.split())
    assert 90 < kept < 200
    assert given_back < 50

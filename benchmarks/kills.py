"""kill -9 at random moments of `ganvert extract` and of the pipeline: afterwards all tables are those of a quiet run.

    python -m benchmarks.kills [--of extract|pipeline] [--kills 100] [--seed 0]

A tiny generator and a few pictures of noise, so that much of the time is spent where files are written and processes
start. Half of the kills hit one process of the tree, chosen at random, whose children or parent then go on; the others
all of them. After every few kills the command may end, and every table is compared byte for byte. Exit code 1 if one
differs, or if a run fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from flows.mend import mend
from ganvert.generators.mobile_stylegan import MobileStyleGAN

__all__ = ["Subject", "extraction", "pipeline"]

ROOT = Path(__file__).parents[1]
PICTURES = 6
IN_A_ROW = 5  # kills before a run may end
_CODE = ("ganvert", "stages", "presets")
_NOT_HERE = ("data/assets", "data/sample_photos")  # deps of stages that this small pipeline has no use for


@dataclass
class Subject:
    """A command that resumes.

    Attributes:
        folder: where it runs.
        command: what is killed.
        made: globs of what it makes.
        seconds: how long it takes undisturbed.
        expected: the bytes of its tables then, by path.
    """

    folder: Path
    command: Sequence[str]
    made: Sequence[str]
    seconds: float = 0.0
    expected: dict[str, bytes] = field(default_factory=dict)
    _groups: list[int] = field(default_factory=list)

    def prepare(self) -> None:
        """Run it undisturbed, and start anew."""
        start = time.monotonic()
        self.finish()
        self.seconds, self.expected = time.monotonic() - start, self.tables()
        self.wipe()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own, its output into a file."""
        mend(self.folder)  # as `make repro` does
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        assets = os.environ.get("GANVERT_ASSETS", str(ROOT / "data/assets"))  # the folder has none of its own
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "GANVERT_ASSETS": assets}
        own |= {"OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=os.environ | own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(process.pid)
        return process

    def disturb(self, chance: random.Random) -> bool:
        """Start it and kill it, or a part of it, at a random moment; return whether it was still at work then."""
        process = self.start()
        time.sleep(chance.uniform(0, self.seconds))
        if process.poll() is not None:
            return False
        if chance.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = psutil.Process(process.pid)
                chance.choice([tree, *tree.children(recursive=True)]).kill()
            time.sleep(chance.uniform(0, self.seconds / 4))  # what was not killed goes on, or gives up
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)  # and leaves its children to the next run
        process.wait()
        return True

    def finish(self) -> None:
        """Run it to its end; RuntimeError if it fails."""
        if code := self.start().wait():
            raise RuntimeError(
                f"{' '.join(self.command)}: exit code {code}\n{(self.folder / 'log').read_text()[-3000:]}"
            )
        self.end()

    def end(self) -> None:
        """End what earlier kills have left behind."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()

    def tables(self) -> dict[str, bytes]:
        """Return the bytes of everything it makes."""
        found = sorted(path for glob in self.made for path in self.folder.glob(glob))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def wipe(self) -> None:
        """Delete what it made, its store included."""
        for table in self.tables():
            (self.folder / table).unlink()
        for name in (".work", "out", ".dvc/cache", ".dvc/tmp", "dvc.lock"):
            path = self.folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def check(self) -> list[str]:
        """Let it end; return the tables that are not as they should be, and start anew."""
        self.finish()
        found = self.tables()
        wrong = [name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)]
        self.wipe()
        return sorted(wrong)


def extraction(folder: Path) -> Subject:
    """Return `ganvert extract` of a few pictures with two workers and shards of one picture."""
    _project(folder)
    options = ["--method", "few", "--recipe", "center", "--generator", "tiny.safetensors", "--device", "cpu"]
    parallel = ["--workers", "2", "--shard", "1", "--out", "out", "--crops", "--reconstructions"]
    program = "from ganvert.cli import main; main()"
    command = [sys.executable, "-c", program, "extract", "data/photos", *options, *parallel]
    return Subject(folder, command, ["out/*.parquet"])


def pipeline(folder: Path, *targets: str) -> Subject:
    """Return `dvc repro` of all stages but `fetch`, or of some targets, on a few pictures."""
    _project(folder)
    for name in _CODE:
        skip = shutil.ignore_patterns("__pycache__", "weights")
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / ".dvcignore", folder)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    del stages["stages"]["fetch"]
    for stage in stages["stages"].values():
        own = stage.get("do", stage)
        own["deps"] = [dep for dep in own["deps"] if not dep.startswith(_NOT_HERE)]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(stages))
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    return Subject(folder, command, ["data/*.parquet", "data/*/*.parquet", "reports/metrics.json"])


def _project(folder: Path) -> None:
    """Make a folder of a project with a tiny generator, a few pictures and parameters that need no assets."""
    (folder / "data/photos").mkdir(parents=True)
    (folder / "data/inputs").mkdir()
    numbers = np.random.default_rng(0)
    for i in range(PICTURES):
        picture = Image.fromarray(numbers.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture.resize((70, 80)).save(folder / f"data/photos/{i}.png")
    torch.manual_seed(0)
    generator = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    state = {
        name: value if value.any() else torch.randn_like(value) / 4 for name, value in generator.state_dict().items()
    }
    save_file(state, folder / "tiny.safetensors", {"format": "ganvert", "architecture": "mobile_stylegan"})
    shutil.copy(ROOT / "dvc.yaml", folder)
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    loss = {"loss": "mse", "weight": 1.0, "resolution": None}
    few = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 2, "lr": 0.05, "objective": [loss]}
    params |= {"device": "cpu", "generator": {"path": "tiny.safetensors", "label": None}}
    params["align"] |= {"recipe": "center", "photos": ["data/photos"]}
    params["sample"] |= {"count": 8, "px": 64, "attributes": [], "known": None, "sheet": 2}
    params["train_encoder"] |= {"encoders": {}}
    params["invert"] |= {"methods": {"few": "tiny.safetensors"}, "first": {}, "options": {"few": few}, "shard": 1}
    params["discover"] = {"methods": {"ganspace": {"components": 2}}}
    edit = {"direction": "ganspace_0", "amounts": [1], "pasted": [1]}
    params["edit"] |= {"method": "few", "edits": {"it": edit}}
    params["evaluate"] |= {"metrics": ["mse_64"], "attributes": []}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def main() -> None:
    """Kill as often as is asked, and say what became of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--of", choices=["extract", "pipeline"], default="extract")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, kills, bad = random.Random(arguments.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        subject = {"extract": extraction, "pipeline": pipeline}[arguments.of](Path(folder))
        try:
            subject.prepare()
            print(f"undisturbed: {subject.seconds:.0f} s, {len(subject.expected)} tables", flush=True)
            while kills < arguments.kills:
                for _ in range(min(IN_A_ROW, arguments.kills - kills)):
                    if not subject.disturb(chance):
                        break  # it came to its end first, and has no work left that a kill could hit
                    kills += 1
                wrong = subject.check()
                bad += bool(wrong)
                print(f"{kills} kills: {', '.join(wrong) or 'all tables are the same'}", flush=True)
        finally:
            subject.end()
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

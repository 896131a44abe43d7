"""Measures extraction at scale: equal tables, memory, a run with nothing to do, the overhead of a shard.

    python benchmarks/extraction.py identical FOLDER [--images 2000] [--photos FOLDER --method encoder]
    python benchmarks/extraction.py memory FOLDER [--images 1000 10000]
    python benchmarks/extraction.py overhead FOLDER

`identical` runs threads, dask and ray with two workers each, and one process without Prefect, and compares the files.
`memory` is the peak of a process that does everything itself, and the time of a second run that finds all of it done.
`overhead` is what a shard costs besides its work: the same pictures in few shards and in many, by runner. Pictures are
small ones of noise and the generator is a tiny one with random weights, so that only the plumbing counts, unless
--photos names real ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[1]


def make_pictures(folder: Path, count: int) -> Path:
    """Make `count` different PNGs, a thousand a folder, unless they exist; return their folder."""
    done = folder / f"pictures-{count}"
    if done.exists():
        return done
    part = folder / f".pictures-{count}"
    shutil.rmtree(part, ignore_errors=True)
    source = np.random.default_rng(0)
    for i in range(count):
        path = part / f"{i // 1000:04}" / f"{i:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = source.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((72, 64)).save(path, compress_level=1)
    part.rename(done)
    return done


def make_project(folder: Path, photos: Path | None, method: str) -> Path:
    """Write a params.yaml, the default one or one with a tiny generator; return its folder."""
    project = folder / ("real" if photos else "tiny")
    project.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["device"] = "cpu"
    if photos is None:
        from ganvert.generators.mobile_stylegan import MobileStyleGAN

        torch.manual_seed(0)
        network = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=512, mapping_layers=2)
        save_file(
            {name: torch.randn(value.shape) * 0.2 for name, value in network.state_dict().items()},
            project / "tiny.safetensors",
            {"format": "ganvert", "architecture": "mobile_stylegan"},
        )
        settings["generator"]["path"] = "tiny.safetensors"
        settings["align"] |= {"recipe": "center", "resolution": 64}
        line = {"loss": "mse", "weight": 1.0, "resolution": None}
        settings["invert"]["options"] = {
            method: {"inverter": "optimise", "space": "wplus", "steps": 2, "lr": 0.05, "objective": [line]}
        }
        settings["invert"]["methods"] = {method: "tiny.safetensors"}
        settings["edit"]["method"] = method
        settings["evaluate"]["metrics"] = ["mse_64"]
        settings["discover"]["methods"] = {"ganspace": {"components": 2}}
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    if not (project / "data").exists():
        (project / "data").symlink_to(ROOT / "data")
    return project


def run(command: list[str], project: Path) -> float:
    """Run a command; return its seconds."""
    start = time.monotonic()
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{out.decode()[-3000:]}")
    return time.monotonic() - start


def digest(folder: Path) -> str:
    """Return a digest of all tables in a folder."""
    digest_of_all = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        digest_of_all.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest_of_all.hexdigest()[:16]


def commands(arguments: argparse.Namespace, pictures: Path, out: Path) -> dict[str, list[str]]:
    """Return the command of one process, and of every runner with two workers."""
    method = arguments.method
    alone = [sys.executable, "-m", "stages.extract", str(pictures), "--method", method, "--workers", "1"]
    flow = [sys.executable, "-m", "flows.extract", str(pictures), "--method", method, "--workers", "2"]
    if arguments.shard:
        flow += ["--shard", str(arguments.shard)]
    runners = {name: [*flow, "--runner", name] for name in arguments.runners}
    return {name: [*line, "--out", str(out / name)] for name, line in ({"alone": alone} | runners).items()}


def identical(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare every runner's tables with those of one process."""
    pictures = arguments.photos or make_pictures(arguments.folder, arguments.images[0])
    project = make_project(arguments.folder, arguments.photos, arguments.method)
    figures = {}
    for name, command in commands(arguments, pictures, arguments.folder / "out").items():
        shutil.rmtree(project / ".work", ignore_errors=True)
        shutil.rmtree(arguments.folder / "out" / name, ignore_errors=True)
        seconds = run(command, project)
        figures[name] = {"seconds": round(seconds, 1), "tables": digest(arguments.folder / "out" / name)}
        report(name, figures[name])
    same = len({row["tables"] for row in figures.values()}) == 1
    return {"identical": same, "runs": figures}


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure peak memory by the number of pictures, and a second run with nothing to do."""
    project = make_project(arguments.folder, None, arguments.method)
    figures = {}
    for count in arguments.images:
        pictures = make_pictures(arguments.folder, count)
        out = arguments.folder / "out" / f"memory-{count}"
        shutil.rmtree(project / ".work", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        program = (
            "import resource, sys\nfrom stages.extract import main\nmain()\n"
            "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", program, str(pictures), "--method", arguments.method, "--workers", "1"]
        rows = {}
        for what in ("first", "second"):
            start = time.monotonic()
            env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [*command, "--out", str(out)], cwd=project, env=env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr[-3000:])
            peak = int(done.stdout.split("PEAK")[1]) / 1024
            rows[what] = {"seconds": round(time.monotonic() - start, 1), "peak_mib": round(peak)}
        figures[str(count)] = rows
        report(f"{count} pictures", rows)
    return figures


def overhead(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds a shard costs besides its work: the same pictures in few shards and in many, one worker."""
    pictures = make_pictures(arguments.folder, arguments.images[0])
    project = make_project(arguments.folder, None, arguments.method)
    figures = {}
    for runner in arguments.runners:
        walls = {}
        for shards in arguments.shards:
            shutil.rmtree(project / ".work", ignore_errors=True)
            out = arguments.folder / "out" / f"overhead-{runner}"
            shutil.rmtree(out, ignore_errors=True)
            size = -(-arguments.images[0] // shards)
            line = [sys.executable, "-m", "flows.extract", str(pictures), "--method", arguments.method]
            seconds = run(
                [*line, "--runner", runner, "--workers", "1", "--shard", str(size), "--out", str(out)], project
            )
            walls[shards] = seconds
        few, many = arguments.shards
        each = (walls[many] - walls[few]) / (many - few)
        figures[runner] = {"seconds_a_shard": round(each, 3), "walls": {str(k): round(v, 1) for k, v in walls.items()}}
        report(runner, figures[runner])
    return figures


def report(name: str, figures: Any) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{name}: {json.dumps(figures)}\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["identical", "memory", "overhead"])
    parser.add_argument("folder", type=Path, help="for pictures and results")
    parser.add_argument("--images", type=int, nargs="+", default=None)
    parser.add_argument("--photos", type=Path, help="real photographs, with the default generator")
    parser.add_argument("--method", default="encoder")
    parser.add_argument("--runners", nargs="+", default=["threads", "dask", "ray"])
    parser.add_argument("--shard", type=int)
    parser.add_argument("--shards", type=int, nargs=2, default=[4, 64], help="numbers of shards compared by `overhead`")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.absolute()
    arguments.photos = arguments.photos and arguments.photos.absolute()
    defaults = {"identical": [2000], "memory": [1000, 10_000], "overhead": [640]}
    arguments.images = arguments.images or defaults[arguments.what]
    figures = {"identical": identical, "memory": memory, "overhead": overhead}[arguments.what](arguments)
    report(arguments.what, figures)


if __name__ == "__main__":
    main()

"""Fixtures that several test files share."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganvert.assets import fetch
from ganvert.compute import kernels
from ganvert.compute.device import strict_math
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import prior

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of assets ($GANVERT_ASSETS or data/assets), the sample photos beside it; missing ones are fetched."""
    folder = Path(os.environ.get("GANVERT_ASSETS") or ROOT / "data" / "assets")
    with (tmp_path_factory.getbasetemp().parent / "fetch.lock").open("w") as lock:  # one process fetches
        fcntl.flock(lock, fcntl.LOCK_EX)
        fetch(folder, photos=folder.parent / "sample_photos")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Equal sums everywhere, and no fight over two cores."""
    strict_math(threads=1)


@pytest.fixture(scope="session", autouse=True)
def float32_everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`precision: auto` is float32 on every machine, so that tests compare the same numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "CPUINFO", tmp_path_factory.mktemp("proc") / "cpuinfo")
        yield


@pytest.fixture(scope="session", autouse=True)
def small_priors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Statistics for P_N from few samples, kept in no folder of the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior, "SAMPLES", 20_000)
        patch.setenv("GANVERT_PRIORS", str(tmp_path_factory.mktemp("priors")))
        yield


@pytest.fixture(scope="session")
def tiny_generator() -> MobileStyleGAN:
    """A 64 px generator with seeded weights: activations keep unit size, pictures are about [-1, 1]."""
    generator = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in generator.state_dict().items():
            value.copy_(torch.randn(value.shape, generator=source))
            if name.startswith("mapping") or "affine" in name or ".up" in name:
                value.mul_(0.25)  # 1 / sqrt(fan in)
            if "affine" in name or ".up" in name:  # styles about one
                value.mul_(0.8).add_(float(name.endswith("bias")))
            if "noise" in name:
                value.mul_(0.1)
        ws = generator.map(normal(range(512), (16,)))
        generator.w_avg.copy_(ws[:, 0].mean(dim=0))
        images = generator.synthesize(ws=ws[:64])
        generator.to_img.weight.mul_(0.4 / images.flatten(1).std(dim=1).median())
        generator.to_img.bias.mul_(0.1)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_generator_file(tiny_generator: MobileStyleGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    save_file(tiny_generator.state_dict(), path, {"format": "ganvert", "architecture": "mobile_stylegan"})
    return path


@pytest.fixture
def write_params():
    """Make the current folder a project: its params.yaml is the project's own with some sections' keys replaced."""
    import yaml

    def write(**sections: object) -> None:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["invert"]["first"] = {}  # of methods that a test may not have
        for name, values in sections.items():
            params[name] = {**params[name], **values} if isinstance(values, dict) else values
        Path("params.yaml").write_text(yaml.safe_dump(params))
        if not Path("dvc.yaml").exists():
            Path("dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")

    return write


@pytest.fixture(scope="session")
def in_two_processes() -> Callable[[Path, Path], None]:
    """Run a test file as two processes that ``torchrun`` could have started; each gets the folder to write into."""

    def run(file: Path, out: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen(
                [sys.executable, str(file), str(out)], env={**environment, "RANK": str(i), "LOCAL_RANK": str(i)}
            )
            for i in (0, 1)
        ]
        try:
            assert [process.wait(timeout=600) for process in processes] == [0, 0]
        finally:
            for process in processes:
                process.kill()

    return run

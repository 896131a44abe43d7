"""One small generator of every file, so of every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganvert.generators import Generator, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
FILES = {path.stem: path for path in sorted(GOLDEN.iterdir()) if path.suffix in (".pkl", ".pt", ".pth")}


@pytest.fixture(scope="session")
def generator_of(tiny_generator: MobileStyleGAN) -> Callable[[str], Generator]:
    """A generator by the name of its file, each read once."""
    known: dict[str, Generator] = {"mobile_stylegan": tiny_generator}

    def load(name: str) -> Generator:
        if name not in known:
            known[name] = load_generator(FILES[name])
            known[name].label = 1 if known[name].label_dim else None
        return known[name]

    return load


@pytest.fixture(params=["mobile_stylegan", *FILES])
def any_generator(request: pytest.FixtureRequest, generator_of: Callable[[str], Generator]) -> Generator:
    return generator_of(request.param)


@pytest.fixture(params=["mobile_stylegan", *(name for name in FILES if "stylegan3" not in name)])
def paddable_generator(request: pytest.FixtureRequest, generator_of: Callable[[str], Generator]) -> Generator:
    return generator_of(request.param)

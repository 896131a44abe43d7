"""What every network that is read from a file guarantees: random numbers do not depend on whether it was loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ganvert.discriminators import load_discriminator
from ganvert.faces.dlib_network import DlibDescriptor
from ganvert.faces.expression import ExpressionNet
from ganvert.faces.mobilefacenet import MobileFaceNet
from ganvert.faces.mtcnn import Mtcnn
from ganvert.faces.parsing import FaceParser
from ganvert.generators import load_generator
from ganvert.losses.lpips import Lpips
from ganvert.networks.blank import Blank

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoints"

#: Whatever loads weights, past all caches; the folder of the assets is given.
LOADERS: dict[str, Callable[[Path], object]] = {
    "dlib": DlibDescriptor,
    "expression": lambda _: ExpressionNet(),
    "lpips_alex": lambda folder: Lpips("alex", folder),
    "lpips_vgg": lambda folder: Lpips("vgg", folder),
    "mobile_stylegan": lambda folder: load_generator(folder / "mobile_stylegan.safetensors"),
    "mobilefacenet": MobileFaceNet,
    "mtcnn": Mtcnn,
    "parser": FaceParser,
    "stylegan1": lambda _: load_generator(GOLDEN / "C1_genforce_stylegan1_64.pth"),
    "stylegan2": lambda _: load_generator(GOLDEN / "A4_ada_resnet.pkl"),
    "stylegan2's discriminator": lambda _: load_discriminator(GOLDEN / "A4_ada_resnet.pkl"),
    "stylegan3": lambda _: load_generator(GOLDEN / "D1_stylegan3_t.pkl"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_loading_draws_no_random_numbers(name: str, assets: Path) -> None:
    before = torch.get_rng_state()
    assert LOADERS[name](assets) is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_other_networks_are_drawn() -> None:
    """So that the test above can fail: outside of `Blank` a layer takes random numbers."""
    before = torch.get_rng_state()
    with Blank():
        nn.Conv2d(3, 3, 3), nn.Linear(3, 3)
    assert torch.equal(torch.get_rng_state(), before)
    nn.Conv2d(3, 3, 3)
    assert not torch.equal(torch.get_rng_state(), before)

"""`ganvert stylise`, and the extras of `ganvert fetch`, on small networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.checkpoints.base import Checkpoint
from ganvert.checkpoints.ganvert_file import save_generator
from ganvert.cli.stylise import STYLES
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators.blaze_stylegan import BlazeStyleGAN


def network(seed: int) -> BlazeStyleGAN:
    """64 px and ws of 8 rows; equal w_avg, other weights."""
    generator = BlazeStyleGAN([8, 8, 8, 8], [4, 4, 4, 4], 8)
    for i, (name, value) in enumerate(generator.named_parameters()):
        value.data = normal([100 * seed + i], value.shape)[0] * (1 if "affine" in name else 0.5)
    return generator.eval().requires_grad_(False)


@pytest.fixture
def styles(tiny_run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, BlazeStyleGAN]:
    """Generators of every style, as assets in a folder of their own, with an encoder of the first."""
    monkeypatch.setattr("ganvert.cli.common.assets_folder", lambda photos=None: tmp_path)
    generators = {name: network(i) for i, name in enumerate(STYLES)}
    for name, generator in generators.items():
        state = {key: value.detach() for key, value in generator.state_dict().items()}
        checkpoint = Checkpoint(format="ganvert", architecture="blaze_stylegan", state=state, config={})
        save_generator(tmp_path / f"stylizer_{name}.safetensors", checkpoint, {})
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 8, "norm": False}}, input_px=8)
    Encoder(spec, generators["sketch"], seed=1).save(tmp_path / "stylizer_encoder.safetensors", "a test")
    return generators


def test_one_latent_drives_all_generators(run, styles: dict[str, BlazeStyleGAN]) -> None:
    done = run("stylise", "a.png", "b.png", "--recipe", "center", "--px", 64, "--device", "cpu", "--out", "s.png")
    assert done.exit_code == 0, done.output
    sheet = Image.open("s.png")
    assert sheet.width == 4 * 68 + 4  # the photograph and three styles, with a margin of 4
    done = run("stylise", "b.png", "--recipe", "center", "--px", 64, "--style", "oil", "--out", "oil.png")
    assert done.exit_code == 0, done.output
    oil = Image.open("oil.png")
    assert oil.width == 2 * 68 + 4
    # The last picture of the sheet's second row is that of the other sheet.
    row = sheet.height // 2
    places = ((3 * 68 + 4, row + 2), (68 + 4, 4))
    pictures = [
        np.asarray(image.crop((x, y, x + 64, y + 64)), int) for image, (x, y) in zip((sheet, oil), places, strict=True)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() == 0
    done = run("stylise", "a.png", "--style", "cubism", "--out", "x.png")
    assert done.exit_code == 2
    assert "there are sketch, ink, oil" in done.output


def test_without_the_weights_the_command_that_fetches_them_is_named(
    run, tiny_run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ganvert.cli.common.assets_folder", lambda photos=None: tmp_path)
    done = run("stylise", "a.png", "--recipe", "center", "--out", "s.png")
    assert done.exit_code == 1
    assert "ganvert fetch --also stylizer" in done.output
    done = run("fetch", "--also", "vangogh")
    assert done.exit_code == 2
    assert "stylizer" in done.output

"""The stages one after the other on generators of every kind: no faces, no face models, a few steps each."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from ganvert.encoders import Encoder, EncoderSpec, load_encoder
from ganvert.generators import GENERATORS, FeaturePoint, SynthesisInput, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from stages import align, discover, edit, evaluate, presets, report, sample, train_encoder
from stages import invert as invert_stage

GOLDEN = Path(__file__).parents[1] / "golden/checkpoints"
#: generator files by name, and the class of conditional ones
FILES: dict[str, tuple[Path, int | None]] = {
    "stylegan1": (GOLDEN / "C1_genforce_stylegan1_64.pth", None),
    "stylegan2": (GOLDEN / "A3_ada_skip_cond_c5.pkl", 2),
    "stylegan3": (GOLDEN / "D1_stylegan3_t.pkl", None),
}


class Odd(MobileStyleGAN):
    """All at once: grey, conditional, a w of its own for every row, no noise inputs, features with a margin."""

    architecture = "odd"
    image_channels, label_dim, rows_differ = 1, 3, True
    noise_shapes = ()  # type: ignore[assignment]

    @property
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        return tuple(
            FeaturePoint(point.name, (point.shape[0], point.shape[1] + 1, point.shape[2] + 1), point.first_row)
            for point in super().feature_points
        )

    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        rows = torch.linspace(0.8, 1.2, self.num_ws).unsqueeze(1)
        return (super()._mapping(z, None) + labels.argmax(dim=1, keepdim=True)).unsqueeze(1) * rows

    def _noise(self, synthesis_input: SynthesisInput) -> list[Tensor | None]:
        return [None] * len(super().noise_shapes)

    def run(self, synthesis_input: SynthesisInput, **more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        images, activations = super().run(synthesis_input, **more)
        return images.mean(dim=1, keepdim=True), activations


@pytest.fixture
def odd_file(tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(GENERATORS, "odd", Odd.for_state)
    path = tmp_path / "odd.safetensors"
    save_file(tiny_generator.state_dict(), path, {"format": "ganvert", "architecture": "odd"})
    return path


@pytest.fixture(params=["odd", *FILES])
def generator_file(request: pytest.FixtureRequest) -> tuple[Path, int | None]:
    if request.param == "odd":
        return request.getfixturevalue("odd_file"), 2
    return FILES[request.param]


@pytest.fixture
def project(tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small photograph and, of the assets, LPIPS alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/photos").mkdir(parents=True)
    (tmp_path / "data/assets").mkdir()
    for name in ("lpips_vgg.safetensors", "lpips_alex.safetensors"):
        (tmp_path / "data/assets" / name).symlink_to(assets / name)
    waves = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / 9)[..., None] * [1, 0.5, -0.7]
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "data/photos/waves.png")
    return tmp_path


def parameters(path: Path, label: int | None) -> dict[str, Any]:
    """Sections of params.yaml for pictures of anything, as small as they go."""
    generator = load_generator(path, label)
    px, preview = generator.resolution, int(generator.architecture == "mobile_stylegan")
    steps = {"inverter": "optimise", "steps": 2, "lr": 0.05, "objective": [{"loss": "mse"}], "preview_steps": preview}
    encoder = "data/encoders/wplus.safetensors"
    # It plays against the discriminator of the checkpoint where there is one.
    game = {"samples": 1, "resolution": 16, "channels": 8}
    tune = {"inverter": "tune", "steps": 2, "lr": 0.001, "objective": [{"loss": "mse"}], "adversarial": game}
    training = {
        "encoder": {"backbone": "residual", "heads": {"dense": {}}, "input_px": 16},
        "steps": 1,
        "batch": 2,
        "data": {"samples": 2, "px": 64, "validation": 1},
        "optimiser": {"lr": 0.001},
        "latent": 1.0,
        "objective": [{"loss": "mse"}],
    }
    return {
        "generator": {"path": str(path), "label": label},
        "device": "cpu",
        "align": {"recipe": "center", "photos": ["data/photos"], "resolution": None},
        "sample": {"count": 6, "px": 64, "attributes": [], "known": None, "sheet": 2},
        "train_encoder": {"encoders": {"wplus": str(path)}, "options": {"wplus": training}},
        "invert": {
            "methods": {
                "encoder": encoder,
                "wplus": str(path),
                "zplus": str(path),
                "noisy": str(path),
                "tuned": str(path),
            },
            "options": {
                "encoder": {"inverter": "feed_forward", "space": "wplus"},
                "wplus": {**steps, "space": "wplus"},
                "tuned": {"inverter": "chain", "stages": [{**steps, "space": "wplus"}, tune]},
                "zplus": {**steps, "space": "zplus", "init": "random"},
                "noisy": {
                    **steps,
                    "space": "w",
                    "latent_noise": 0.05,
                    "preview_steps": 0,
                    "noise": "optimise" if generator.noise_shapes else "const",
                },
            },
        },
        "discover": {"methods": {"ganspace": {"components": 2}}},
        "edit": {
            "method": "tuned",
            "edits": {"first": {"direction": "ganspace_0", "amounts": [-1, 1], "pasted": [1]}},
        },
        "evaluate": {"metrics": [f"mse_{px}", f"lpips_alex_{px}"], "attributes": []},
    }


def run_all(methods: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in (align, sample, presets):
        stage.main()
    monkeypatch.setattr(sys, "argv", ["train_encoder", "wplus"])
    train_encoder.main()
    for method in methods:
        monkeypatch.setattr(sys, "argv", ["invert", method])
        invert_stage.main()
    for stage in (discover, edit, evaluate, report):
        stage.main()


@pytest.mark.slow
def test_every_stage(
    generator_file: tuple[Path, int | None], project: Path, write_params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = parameters(*generator_file)
    write_params(**sections)
    run_all(list(sections["invert"]["methods"]), monkeypatch)
    generator = load_generator(*generator_file)
    (crop,) = pq.read_table("data/aligned.parquet").to_pylist()
    assert crop["resolution"] == generator.resolution
    encoder = load_encoder(Path("data/encoders/wplus.safetensors"), generator)
    assert encoder.encode(torch.zeros(1, 3, 64, 64))["ws"].shape == (1, generator.num_ws, generator.w_dim)
    trained = json.loads(Path("reports/train_encoder/wplus.json").read_text())
    assert trained["steps"] == 1 and trained["last_20_steps"].keys() == {"latent", "picture", "total", "gradient"}
    assert trained["held_out"].keys() == {"step", "mse_256", "lpips_alex_256"}
    assert Image.open("data/encoders/wplus/validation.png").size == (256, 512)
    assert len(json.loads(Path("data/encoders/wplus/losses.json").read_text())["training"]) == 1
    codes = pq.read_table("data/codes/wplus.parquet")
    assert len(codes.column("ws")[0]) == generator.num_ws * generator.w_dim
    (file,) = pq.read_table("data/codes/tuned.parquet").column("tuned").to_pylist()
    assert Path("data/codes/tuned.tuned", file).exists()
    scores = pq.read_table("data/scores.parquet").to_pylist()
    assert {row["status"] for row in scores} == {"ok"} and len(scores) == 2 * 5
    (first, last) = pq.read_table("data/edits.parquet").to_pylist()
    assert (first["pasted"] is None, last["pasted"] is None) == (True, False)
    assert json.loads(Path("reports/metrics.json").read_text()).keys() == sections["invert"]["methods"].keys()
    assert Path("reports/report.html").stat().st_size > 10_000


def wrong(match: str) -> Any:
    return pytest.raises(SystemExit, match=match)


@pytest.mark.slow
def test_settings_that_do_not_fit_the_generator_stop_the_first_stage(
    odd_file: Path, tiny_generator_file: Path, project: Path, write_params: Any
) -> None:
    def write(path: Path, label: int | None, **more: dict[str, Any]) -> None:
        sections = parameters(path, 0 if path == odd_file else None)
        write_params(**{**sections, "generator": {"path": str(path), "label": label}, **more})

    write(odd_file, None)
    with wrong(r"generator.label: .*odd.safetensors is conditional: choose a class, 0 to 2"):
        align.main()
    write(odd_file, 3)
    with wrong("label 3: this generator has 3 classes"):
        sample.main()
    write(tiny_generator_file, 0)
    with wrong("label 0: this generator has no classes"):
        align.main()
    write(tiny_generator_file, None, evaluate={"metrics": ["psnr_256"]})
    with wrong("evaluate.metrics: metric 'psnr_256': the generator draws 64 px; at most psnr_64"):
        align.main()
    write(tiny_generator_file, None, discover={"methods": {"ganspace": {"components": 2, "last_row": 18}}})
    with wrong(r"discover.methods.ganspace: rows \[0, 18\) .* 8 rows"):
        align.main()
    attributes = {"smile": {"first_row": 8}}
    write(tiny_generator_file, None, discover={"methods": {"interfacegan": {"attributes": attributes}}})
    with wrong("discover.methods.interfacegan.attributes.smile: rows"):
        align.main()
    sections = parameters(tiny_generator_file, None)["invert"]
    write(tiny_generator_file, None, invert={**sections, "methods": {"wplus": "other.safetensors"}})
    with wrong("invert.methods.wplus: starts from no encoder, so wanted the generator's file"):
        align.main()
    for key, value, message in (("preview_steps", 1, "preview"), ("noise", "optimise", "no noise inputs")):
        sections = parameters(odd_file, 1)["invert"]
        sections["options"]["wplus"][key] = value
        write(odd_file, 1, invert=sections)
        with wrong(f"invert.methods.wplus: .*{message}"):
            align.main()
    assert not Path("data/photos.parquet").exists()


@pytest.mark.slow
def test_files_of_another_generator_are_refused(
    tiny_generator_file: Path, project: Path, write_params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Path(__file__).parents[2] / "ganvert/weights"
    sections = parameters(tiny_generator_file, None)
    known = {**sections["sample"], "known": str(weights / "scores_ffhq.parquet")}
    other = MobileStyleGAN([4, 4], z_dim=4, w_dim=4, mapping_layers=1)
    spec = EncoderSpec(**sections["train_encoder"]["options"]["wplus"]["encoder"])
    Encoder(spec, other).save(project / "other.safetensors", "of another generator")
    start = {**sections["train_encoder"], "encoders": {"wplus": "other.safetensors"}}
    write_params(**{**sections, "sample": known, "train_encoder": start})
    with wrong("scores of generator .* set sample.known: null"):
        sample.main()
    align.main()
    presets.main()
    monkeypatch.setattr(sys, "argv", ["train_encoder", "wplus"])
    with wrong("an encoder of generator .* generator's own file in train_encoder.encoders"):
        train_encoder.main()


def test_unknown_encoders_are_refused(
    tiny_generator_file: Path, project: Path, write_params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = parameters(tiny_generator_file, None)
    options = sections["train_encoder"]["options"]
    sections["train_encoder"]["options"] = {**options, "spare": options["wplus"]}
    write_params(**sections)
    for arguments, message in (
        ([], "usage: python -m stages.train_encoder NAME"),
        (["wplsu"], "unknown encoder in train_encoder.encoders 'wplsu'.* Did you mean 'wplus'"),
        (["spare"], "unknown encoder in train_encoder.encoders 'spare'"),
    ):
        monkeypatch.setattr(sys, "argv", ["train_encoder", *arguments])
        with wrong(message):
            train_encoder.main()
    sections["train_encoder"]["encoders"] = {"another": str(tiny_generator_file)}
    write_params(**sections)
    with wrong("unknown encoder preset 'another'"):  # before any work of any stage
        align.main()
    assert not Path("data/photos.parquet").exists()

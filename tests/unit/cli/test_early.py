"""Mistakes in commands: whatever can be known before the work ends it there, with one line and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from ganvert.cli import app
from ganvert.directions import Direction, save_directions
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators.mobile_stylegan import MobileStyleGAN

MSE = {"loss": "mse", "resolution": 64}
PAD = {"inverter": "optimise", "space": "pad/wplus", "init": "mean", "steps": 2, "lr": 0.2, "objective": [MSE]}
PRESETS = {
    "mine": PAD,
    "plain": {**PAD, "space": "wplus"},
    "masked": {**PAD, "objective": [{**MSE, "mask": "no-such.png"}]},
    "padded": {"inverter": "feed_forward", "space": "fs16/wplus"},
}
COMPOSES = ("diffuse", "crossover", "inpaint")
INVERTS = (*COMPOSES, "invert", "extract", "edit", "grid", "stimuli", "interpolate", "mix", "blend", "transfer")
GENERATES = (
    *INVERTS,
    "study",
    "sample",
    "import-codes",
    "export-codes",
    "directions import",
    "directions export",
    "directions find",
)
MOVES = ("--directions", "directions.parquet", "--direction", "smile=1")
#: A command line without a mistake for each command, without its output.
SOUND = {
    "invert": ("a.png",),
    "extract": ("a.png",),
    "edit": ("a.png", *MOVES),
    "grid": ("a.png", "--directions", "directions.parquet", "--direction", "smile=0,1", "--direction", "age=0,1"),
    "stimuli": ("a.png", *MOVES),
    "interpolate": ("a.png", "b.png"),
    "mix": ("a.png", "--style", "b.png"),
    "blend": ("a.png", "b.png"),
    "transfer": ("a.png", "b.png", "a.png"),
    "diffuse": ("a.png", "--onto", "b.png"),
    "crossover": ("a.png", "b.png", "--mask", "mask.png"),
    "inpaint": ("a.png", "--mask", "mask.png"),
    "stylise": ("a.png",),
    "study": ("a.png", "--methods", "plain"),
    "sample": (),
    "export": ("codes.parquet",),
    "import-codes": ("codes.npy",),
    "export-codes": ("codes.parquet", "--as", "npy"),
    "export-generator": ("junk", "--as", "rosinality"),
    "import": ("junk",),
    "directions import": ("direction.npy", "--space", "w"),
    "directions export": ("smile", "--as", "npy", "--directions", "directions.parquet"),
    "directions find": ("--codes", "codes.parquet", "--scores", "ratings.csv", "--trait", "kind"),
}
WITHOUT_OUT = {"studio", "describe", "fetch", "methods", "directions"}
POSITIONAL = {"import"}  # whose OUT is an argument
OUTS = {"grid": "x.png", "interpolate": "x.png", "sample": "x.png", "stylise": "x.png", "import": "x.safetensors"}
OUTS |= dict.fromkeys(("import-codes", "export-codes", "export-generator"), "x.file")
OUTS |= dict.fromkeys(("directions import", "directions export", "directions find"), "x.file")
#: Of every command that inverts: what is added, and what the message says.
SHARED = [
    (("--method", "plian"), "did you mean 'plain'"),
    (("--recipe", "centre"), "did you mean 'center'"),
    (("--device", "tpu"), "device: wanted auto"),
    (("--label", "3"), "label 3: this generator has no classes"),
    (("--precision", "half"), "precision: wanted one of auto, float32, tf32, bfloat16, got 'half'"),
    (("--steps", "3", "--method", "encoder"), "method 'encoder' takes no steps"),
    (("--method", "encoder"), "an encoder of generator"),  # the shipped one
    (("--method", "encoder", "--encoder", "other.safetensors"), "other.safetensors: an encoder of generator"),
    (("--method", "encoder", "--encoder", "junk"), "junk: not a readable safetensors file"),
    (("--method", "plain", "--encoder", "own.safetensors"), "method 'plain' starts without one"),
    (("--method", "masked"), "names 'no-such.png'"),
    (("--generator", "junk"), "junk: refused as a checkpoint"),
    (("--seed", str(2**63)), "below 2^63"),
]
ENCODERS = [says for options, says in SHARED if options[:2] == ("--method", "encoder")]
#: What the encoder alone is refused for before its file is read: its codes have no second part, or fit no part.
REFUSED_FIRST = dict.fromkeys(("blend", "transfer"), "one part only")
REFUSED_FIRST |= dict.fromkeys(COMPOSES, "predicts codes of whole pictures")
PX = (("--px", "8192"), "pictures of 8192 px are too many")
OWN = {
    "invert": [
        (("--metric", "mse_2048"), "at most mse_64"),
        (("--metric", "lpips_alex_16"), "at least 31 px"),
        (("--metric", "ssim_4"), "at least 6 px"),
        (("--metric", "mse_64", "--metric", "mse_64"), "named twice"),
        (("--out", "."), "results do not go there"),
    ],
    "extract": [
        (("--metric", "mse"), "mse_256"),
        (("--skip", "f"), "no variable 'f'"),
        (("--threads", str(10**10)), "--threads"),
        (("--work", "a.png"), "--work: a.png is a file"),
    ],
    "edit": [
        (("--direction", "smiel=1"), "did you mean 'smile'"),
        (("--direction", "age=1e9"), "wanted a number from -1000 to 1000"),
        (("--directions", "others.parquet"), "directions of generator"),
        (("--region", "nose"), "ganvert: --region: wanted one of square, face, head"),
        (("--motion", "teleport"), "unknown motion 'teleport'"),
        (("--codes", "others.parquet"), "wanted table 'codes'"),
        (("--codes", "codes.parquet", "--method", "plian"), "did you mean 'plain'"),
        (("--codes", "codes.parquet", "--image", "x"), "--image"),
        (("--direction", "age=-2:2:999", "--px", "1024"), "too many"),
        (("--out", "a.png"), "is an input"),
    ],
    "grid": [PX, (("--out", "a.png"), "is an input"), (("b.png",), "is for one photograph")],
    "stimuli": [
        (("--target", "frown=1", "--recipe", "ffhq"), "unknown direction in w 'frown'"),
        (("--target", "age=1"), "scores are of faces"),
        (("--background", "greyish"), "wanted a colour"),
        (("--size", "99999"), "--size"),
        (("--direction", "age=-2:2:9", *PX[0]), "too many"),
    ],
    "interpolate": [
        PX,
        (("--move", "nose"), "unknown part 'nose'"),
        (("--move", "own", "--method", "plain"), "one part only"),
        (("--count", "1000000"), "--count"),
        (("--first", "x"), "photographs are taken in their order"),
    ],
    "mix": [
        PX,
        (("--rows", "0:99"), "the generator's rows 0:8"),
        (("--amount", "1e9"), "wanted a number from -1000 to 1000"),
        (("--style", "no-such.png"), "there is no such photograph"),
    ],
    "blend": [PX, (("--method", "plain"), "one part only")],
    "transfer": [
        PX,
        (("--part", "nose"), "unknown part 'nose'"),
        (("--amount", "1", "--amount", "1"), "wanted different amounts"),
        (("--amount", "nan"), "finite"),
        (("--same-crop", "--codes", "codes.parquet"), "--same-crop"),
    ],
    "diffuse": [
        PX,
        (("--crop", "300"), "crop"),
        (("--crop", "90", "--crop", "90"), "wanted different sizes"),
        (("--centre", "middle"), "--centre: wanted x,y"),
        (("--around", "nan"), "--around"),
        (("--out", "."), "results do not go there"),
    ],
    "crossover": [
        PX,
        (("--mask", "nose-ring"), "there is no such picture"),
        (("--blur", "0.3"), "--blur: wanted 0 to 0.25"),
        (("b.png", "--same-crop"), "a copy of one photograph"),
    ],
    "inpaint": [
        PX,
        (("--mask", "none.png"), "there is no such picture"),
        (("--feather", "-1"), "--feather: wanted 0 to 0.5"),
    ],
    "stylise": [PX, (("--style", "pastel"), "no style 'pastel'"), (("--recipe", "centre"), "did you mean 'center'")],
    "study": [
        (("--methods", "plian"), "did you mean 'plain'"),
        (("--sections", "strenght"), "did you mean 'strength'"),
        (("--reference", "wplus"), "reference"),
        (("--recipe", "centre"), "did you mean 'center'"),
        (("--options", "junk"), "junk"),
        (("--seeds", "0"), "--seeds"),
    ],
    "export-generator": [
        (("--as", "rosnality"), "did you mean 'rosinality'"),
        (("--out", "names.txt"), "exists already"),
        (("--codes", "codes.parquet"), "one of them is missing"),
        ((), "junk: refused as a checkpoint"),
    ],
    "import": [
        (("--out", "old.safetensors"), "exists already"),
        (("--out", "x.pkl"), "wanted a name that ends in .safetensors"),
        ((), "junk: refused as a checkpoint"),
        (("--feature-px", "1000"), "--feature-px"),
    ],
    "directions find": [
        (("--trait", "kindness"), "kindness"),
        (("--condition", "agee"), "agee"),
        (("--name", "a=b"), "--name: wanted a name without ="),
        (("--fit", "rigde"), "fit"),
        (("--vectors", "many"), "vectors"),
        (("--rows", "4"), "--rows: wanted first:end"),
        (("--rows", "0:99"), "rows"),
        (("--out", "others.parquet"), "directions of generator"),
        (("--scores", "junk"), "junk"),
    ],
    "sample": [PX, (("--psi", "1e30"), "--psi"), (("--count", "100000000"), "too many"), SHARED[2], SHARED[3]],
    "import-codes": [
        (("--space", "wpluss"), "did you mean 'wplus'"),
        (("--names", "junk"), "wanted text in utf-8"),
        (("--names", "names.txt"), "wanted 2 names"),
        (("--method", "a/b"), "--method: wanted letters"),
        (("--out", "codes.npy"), "is an input"),
    ],
    "export-codes": [
        (("--as", "e5e"), "did you mean 'e4e'"),
        (("--out", "codes.parquet"), "is an input"),
        (("--as", "npz", "--out", "folder"), "exists already"),
        (("--as", "npz", "--out", "a.png/x"), "a.png is a file"),
    ],
    "directions import": [
        (("--space", "x"), "--space: wanted z, w or s"),
        (("--unit", "nan"), "--unit: wanted a positive number"),
        (("--rows", "4"), "--rows: wanted first:end"),
        (("--name", "a=b"), "--name: wanted a name without ="),
        (("--out", "others.parquet"), "directions of generator"),
        (("--out", "direction.npy"), "is an input"),
    ],
    "directions export": [
        (("--as", "npx"), "did you mean 'npy'"),
        (("--space", "x"), "--space: wanted z, w or s"),
        (("--space", "z"), "unknown direction in z 'smile'; known: none"),
        (("--directions", "others.parquet"), "directions of generator"),
    ],
    "export": [((), "unknown codes.parquet: table with pictures 'codes'")],
}
SLOW = {name for name in INVERTS if name not in ("invert", "edit", "mix")}  # they share their code with these
MISTAKES: list[Any] = [
    pytest.param(
        command,
        options,
        REFUSED_FIRST.get(command, says) if says in ENCODERS else says,
        marks=[pytest.mark.slow] * (command in SLOW),
    )
    for command in INVERTS
    for options, says in SHARED
]
MISTAKES += [(command, *mistake) for command, mistakes in OWN.items() for mistake in mistakes]
MISTAKES += [(command, ("--out", "/proc/x/x.png"), "cannot be written to") for command in SOUND]


class ReachedError(Exception):
    """The work has begun."""


@pytest.fixture(scope="module")
def place(
    tiny_generator: MobileStyleGAN, tiny_generator_file: Path, assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A project with two photographs, codes, directions and encoders; whatever begins the work raises there."""
    import yaml

    folder = tmp_path_factory.mktemp("place")
    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2).eval()
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 8, "norm": False}}, input_px=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GANVERT_ASSETS", str(assets))
        params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())
        params["invert"]["options"] = PRESETS
        Path("params.yaml").write_text(yaml.safe_dump(params))
        Path("dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")
        Path("folder").mkdir()
        Path("old.safetensors").touch()
        Path("junk").write_bytes(b"\xffjunk" * 50)
        Path("names.txt").write_text("one\n")
        Path("ratings.csv").write_text("image,trait,value\n000000,kind,1\n000001,kind,2\n000000,age,1\n000001,age,3\n")
        Image.new("L", (80, 80)).save("mask.png")
        for name in "ab":
            Image.new("RGB", (80, 80), {"a": "red", "b": "blue"}[name]).save(f"{name}.png")
        np.save("codes.npy", np.linspace(-1, 1, 256, dtype=np.float32).reshape(2, 8, 16))
        np.save("direction.npy", np.ones((1, 16), np.float32))
        Encoder(spec, tiny_generator).save(Path("own.safetensors"), "a test")
        Encoder(spec, other).save(Path("other.safetensors"), "a test")
        moves = [Direction(name, "w", "test", np.eye(16)[0], 0.5, 0, 8) for name in ("smile", "age")]
        for path, generator in (("directions.parquet", tiny_generator), ("others.parquet", other)):
            save_directions(Path(path), moves, {"generator": generator.fingerprint()})
        done = CliRunner().invoke(
            app, ["import-codes", "codes.npy", "--out", "codes.parquet", "--generator", str(tiny_generator_file)]
        )
        assert done.exit_code == 0, done.output

        def reached(*_: object, **__: object) -> None:
            raise ReachedError

        for work in (
            *("ganvert.faces.align_photos", "ganvert.faces.FaceDetector", "ganvert.inversion.run.invert_crops"),
            *("ganvert.editing.render.draw_edit", "ganvert.images.to_pil", "ganvert.sampling.picture_of"),
            *("ganvert.extraction.extract", "ganvert.cli.sources.crops_of", "ganvert.study.run_study"),
        ):
            patch.setattr(work, reached)
        yield tiny_generator_file


def run(command: str, generator: Path, *mistake: str) -> tuple[int, str, BaseException | None]:
    """Run a sound command line with something more; return exit code, output and exception."""
    line = [*command.split(), *SOUND[command], *mistake]
    for option, value, commands in (
        ("--out", OUTS.get(command, "x"), SOUND),
        ("--generator", str(generator), GENERATES),
        ("--method", "mine", INVERTS),
        ("--recipe", "center", INVERTS),
    ):
        if option not in mistake and command in commands:
            line += [option, value]
    if command in POSITIONAL:
        line.remove("--out")
    done = CliRunner().invoke(app, line)
    return done.exit_code, " ".join(done.output.replace("│", " ").split()).lower(), done.exception


def test_every_command_that_writes_is_tested() -> None:
    known = {*SOUND, *WITHOUT_OUT}
    assert {" ".join(path) for path in _commands(get_command(app))} == known


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the names of a command's commands, with those of the groups they stand in."""
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from _commands(inner, (*path, name))


@pytest.mark.parametrize(
    "command", ["invert", "extract", "edit", "stimuli", "interpolate", "mix", "blend", "transfer", *COMPOSES, "study"]
)
def test_without_a_mistake_the_work_begins(place: Path, command: str) -> None:
    """Otherwise the test below could not fail."""
    assert isinstance(run(command, place)[2], ReachedError)


@pytest.mark.parametrize(("command", "mistake", "says"), MISTAKES)
def test_a_mistake_ends_the_command_before_any_work(
    place: Path, command: str, mistake: tuple[str, ...], says: str
) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    code, output, error = run(command, place, *mistake)
    assert code in (1, 2), (error, output)
    assert isinstance(error, SystemExit), error
    assert says in output
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before

"""A change to the code throws away the finished work that it decides, and no other."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml

from ganvert.base import provenance
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.compute import kernels
from ganvert.compute.precision import Speed
from ganvert.extraction import Invert, Job, make_job
from ganvert.faces import AlignOptions

ROOT = Path(__file__).parents[3]
MSE = {"loss": "mse"}
OPTIMISE = {"inverter": "optimise", "space": "w", "steps": 1, "lr": 0.1, "objective": [MSE]}
ADVERSARIAL = {"local": 0.1, "everywhere": 1.0, "samples": 1, "lr": 0.1}
TUNE = {"inverter": "tune", "steps": 1, "lr": 0.1, "objective": [MSE], "adversarial": ADVERSARIAL}
PRESETS = {
    "encoder": {"inverter": "feed_forward", "space": "wplus"},
    "from_encoder": OPTIMISE | {"init": "encoder"},
    "optimise": OPTIMISE,
    "identity": OPTIMISE | {"objective": [MSE, {"loss": "identity_dlib"}]},
    "masked": OPTIMISE | {"objective": [MSE | {"mask": "mask.png"}]},
    "game": {"inverter": "chain", "stages": [OPTIMISE, TUNE]},
}
METHODS = set(PRESETS) | {"scored"}
ALL = METHODS | {"align", "training"}
Changed = Callable[[Callable[[str], str], Iterable[str]], set[str]]


def keys() -> dict[str, str]:
    """The key of every kind of work, under the code at the root."""
    inverts = {name: Invert(method=name, preset=preset, generator="") for name, preset in PRESETS.items()}
    jobs = {name: Job(align=None, invert=invert, assets="") for name, invert in inverts.items()}
    jobs["align"] = Job(align=AlignOptions(), invert=None, assets="")
    jobs["scored"] = Job(align=None, invert=inverts["optimise"], metrics=("mse_256",), assets="")
    training = closure_digest("ganvert.training", "ganvert.compute.device", without=PLUMBING)
    return {name: job.key for name, job in jobs.items()} | {"training": training}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return keys()


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, str]) -> Changed:
    """Copy the library, edit files of the copy, and return whose keys are other ones."""

    def edit(change: Callable[[str], str], files: Iterable[str]) -> set[str]:
        skip = shutil.ignore_patterns("*.safetensors", "*.parquet", "__pycache__")
        shutil.copytree(ROOT / "ganvert", tmp_path / "ganvert", ignore=skip)
        for file in files:
            path = tmp_path / file
            text = path.read_text()
            path.write_text(change(text))
            assert path.read_text() != text
        monkeypatch.setattr(provenance, "ROOT", tmp_path)
        return {name for name, key in keys().items() if key != before[name]}

    return edit


def in_a_function(text: str) -> str:
    """A statement more before the last one of a function, of `forward` where there is one."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    last = next((node for node in functions if node.name == "forward"), functions[0]).body[-1]
    lines = text.splitlines(keepends=True)
    lines.insert(last.lineno - 1, " " * last.col_offset + "changed = True\n")
    return "".join(lines)


def in_words_only(text: str) -> str:
    """A comment, blank lines and another docstring."""
    return text.replace('"""', '"""Now in other words. ', 1) + "\n\n# A comment.\n"


def stages_of(file: str) -> set[str]:
    """Stages of dvc.yaml that are stale when a file changes."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    around = {file, *map(str, Path(file).parents)}
    return {name for name, stage in stages.items() if around & set(stage.get("do", stage)["deps"])}


def files(*packages: str) -> list[str]:
    found = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    return [file.relative_to(ROOT).as_posix() for file in found]


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("ganvert/encoders/base.py", {"encoder", "from_encoder", "training"}),
        ("ganvert/discriminators/stylegan2.py", {"game", "training"}),
        ("ganvert/scoring/metrics/pixel.py", {"scored"}),
        ("ganvert/generators/stylegan2.py", ALL - {"align"}),
        ("ganvert/faces/align.py", {"align", "encoder", "from_encoder", "identity", "masked", "scored", "training"}),
        ("ganvert/faces/chips.py", {"align", "encoder", "from_encoder", "identity", "masked", "scored", "training"}),
        ("ganvert/extraction/session.py", ALL - {"training"}),
        ("ganvert/training/loop.py", {"training"}),
    ],
)
def test_code_counts_for_what_it_decides(file: str, whose: set[str], changed: Changed) -> None:
    assert changed(in_a_function, [file]) == whose


def test_nothing_is_computed_again_for_what_only_moves_or_shows_results(changed: Changed) -> None:
    plumbing = [f"ganvert/extraction/{name}.py" for name in ("pool", "catalogue", "shards", "worker", "assemble")]
    with_functions = [file for file in files("ganvert/report", "ganvert/cli") if "def " in (ROOT / file).read_text()]
    assert changed(in_a_function, [*with_functions, *plumbing, "ganvert/compute/progress.py"]) == set()


def test_nothing_is_computed_again_for_words(changed: Changed) -> None:
    assert changed(in_words_only, files("ganvert")) == set()


def test_an_encoder_makes_the_stages_that_run_it_stale() -> None:
    assert {"invert", "train_encoder"} <= stages_of("ganvert/encoders/base.py")
    # `discover` reads codes where a finder needs them, so that it depends on what makes codes.
    assert not {"align", "sample", "evaluate", "report"} & stages_of("ganvert/encoders/base.py")
    assert "invert" in stages_of("ganvert/discriminators/stylegan2.py")
    assert stages_of("ganvert/training/loop.py") == {"train_encoder"}
    assert stages_of("ganvert/report/page.py") == {"report", "study"}
    assert stages_of("ganvert/cli/app.py") == set()


def test_the_precision_of_the_machine_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is decided before the key is made: two machines have two keys, and a worker that of the planner."""
    generator = tmp_path / "g.safetensors"
    generator.write_bytes(b"weights")

    def job(flags: str, **speed: str) -> Job:
        (tmp_path / "cpuinfo").write_text(f"flags\t: fpu {flags}\n")
        monkeypatch.setattr(kernels, "CPUINFO", tmp_path / "cpuinfo")
        invert = Invert(method="m", preset=OPTIMISE, generator=str(generator), speed=Speed(**speed))
        return make_job(align=None, invert=invert, assets_folder=tmp_path, device="cpu")

    old, new = job("avx2"), job("avx2 amx_bf16")
    assert [made.invert.speed.precision for made in (old, new)] == ["float32", "bfloat16"]
    assert old.key == job("avx2 amx_bf16", precision="float32").key
    assert new.key == job("avx2", precision="bfloat16").key == Job.from_json(new.to_json()).key
    assert old.key != new.key


def test_the_order_of_encoders_is_in_the_key(tmp_path: Path) -> None:
    """Where two predict the same part of a code, the later one counts."""
    files = {name: tmp_path / f"{name}.safetensors" for name in ("generator", "rows", "features")}
    for name, file in files.items():
        file.write_bytes(name.encode())

    def key(*encoders: str) -> str:
        named = tuple(str(files[name]) for name in encoders)
        invert = Invert(method="m", preset=PRESETS["encoder"], generator=str(files["generator"]), encoders=named)
        return make_job(align=None, invert=invert, assets_folder=tmp_path, device="cpu").key

    assert key("rows", "features") != key("features", "rows") == key("features", "rows")
    assert len({key("rows"), key("features")}) == 2

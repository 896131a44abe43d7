"""Stage `presets` and the settings it reads: a file changes exactly when the options of its preset do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganvert.inversion.presets import read_preset
from stages import presets
from stages.settings import PARAMS, apply, load_settings

ROOT = Path(__file__).parents[3]
INVERT = {"methods": {"encoder_wplus": "e.safetensors", "pti": "g.safetensors"}, "options": {}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params: Any) -> Callable[..., set[str]]:
    """A folder with presets, where a call runs the stage and returns the files that are not as they were before."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "presets", "presets")
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")  # a project, whose presets count
    written: dict[str, bytes] = {}

    def changed(**invert: Any) -> set[str]:
        write_params(
            device="cpu",
            generator={"path": "g.safetensors"},
            invert={**INVERT, **invert},
            train_encoder={"encoders": {"restyle_e4e": "g.safetensors"}},
            edit={"method": "encoder_wplus"},
        )
        presets.main()
        found = {str(path.relative_to(presets.OUT)): path.read_bytes() for path in presets.OUT.rglob("*.yaml")}
        names = {name for name in {*found, *written} if found.get(name) != written.get(name)}
        written.clear()
        written.update(found)
        return names

    return changed


def edit(name: str, text: str) -> None:
    path = Path(f"presets/{name}.yaml")
    path.write_text(path.read_text() + text)


@pytest.mark.slow
def test_a_file_changes_when_its_preset_does(project: Callable[..., set[str]]) -> None:
    assert project() == {"encoder_wplus.yaml", "pti.yaml", "encoders/restyle_e4e.yaml"}
    edit("wplus", "keep: best\n")  # does not run
    Path("presets/pti.yaml").write_text(Path("presets/pti.yaml").read_text().replace("Roich", "R."))  # its description
    assert project() == set()
    edit("encoder_wplus", "keep: best\n")
    edit("encoders/parts/psp_family", "seed: 3\n")
    assert project() == {"encoder_wplus.yaml", "encoders/restyle_e4e.yaml"}
    edit("projector", "keep: best\n")  # the parent of a parent of a stage
    assert project() == {"pti.yaml"}
    inline = {"encoder_wplus": {"extends": "encoder_wplus", "lr": 0.01}, "spare": {"extends": "w"}}
    changed = project(options=inline, methods={"encoder_wplus": "e.safetensors"})
    assert changed == {"encoder_wplus.yaml", "pti.yaml"}  # the second is gone
    assert yaml.safe_load((presets.OUT / "encoder_wplus.yaml").read_text())["keep"] == "best"


def test_what_is_written_is_what_is_read(project: Callable[..., set[str]]) -> None:
    project()
    settings = load_settings()
    for name in settings.invert.methods:
        written = read_preset(name, yaml.safe_load((presets.OUT / f"{name}.yaml").read_text()))
        assert written == settings.invert.preset(name)


def test_a_broken_preset_of_the_project_stops_before_any_work(project: Callable[..., set[str]]) -> None:
    edit("image2stylegan", "lrr: 1\n")
    with pytest.raises(SystemExit, match=r"presets/image2stylegan.yaml: unknown keys \['lrr'\].*did you mean 'lr'"):
        project()
    assert not presets.OUT.exists()


def test_presets_of_an_old_params_file_are_all_inline(project: Callable[..., set[str]], write_params: Any) -> None:
    whole = {name: load_whole(name) for name in ("encoder_wplus", "pti")}
    shutil.rmtree("presets")
    project(options=whole)
    assert yaml.safe_load((presets.OUT / "pti.yaml").read_text()) == whole["pti"]


def load_whole(name: str) -> dict[str, Any]:
    from ganvert.base.preset_files import METHODS, Presets

    return Presets(METHODS).resolve(name).options


def test_the_full_run_is_applied_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", PARAMS)
    apply(ROOT / "params.full.yaml")
    settings = load_settings()
    assert {"near_perfect", "encoder", "conventional"} <= set(settings.invert.methods)
    assert settings.invert.preset("conventional").space == "wplus"
    assert "# auto (a GPU when there is one)" in PARAMS.read_text()  # comments stay

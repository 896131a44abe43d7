"""Presets as files: parents, folders and inline presets, and what is wrong with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganvert.base import preset_files
from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.base.preset_files import ENCODERS, METHODS, Presets, preset_folders

Write = Callable[..., Presets]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files of presets and return what is read from the folders `mine` and `shipped`, in this order."""
    monkeypatch.chdir(tmp_path)

    def presets(files: dict[str, str], inline: dict[str, Any] | None = None) -> Presets:
        for name, text in files.items():
            path = Path(f"{name}.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Presets(METHODS, inline, [Path("mine"), Path("shipped")])

    return presets


def test_mappings_merge_and_everything_else_replaces(write: Write) -> None:
    presets = write(
        {
            "shipped/base": "description: below\na: {x: 1, y: {z: 2}}\nb: [1, 2]\nc: 3",
            "shipped/top": "description: above\nextends: base\na: {y: {w: 5}, v: 6}\nb: [7]\nc: {d: 8}",
        }
    )
    top = presets.resolve("top")
    assert top.options == {"a": {"x": 1, "y": {"z": 2, "w": 5}, "v": 6}, "b": [7], "c": {"d": 8}}
    assert (top.description, top.sources) == ("above", ("shipped/top.yaml", "shipped/base.yaml"))
    assert yaml.safe_load(top.to_yaml()) == top.options
    assert presets.resolve("base").options["a"] == {"x": 1, "y": {"z": 2}}  # merging leaves parents as they are


def test_later_parents_override_earlier_ones_and_descriptions_are_not_inherited(write: Write) -> None:
    presets = write(
        {
            "shipped/parts/one": "description: one\na: 1\nb: 1",
            "shipped/parts/two": "a: 2\nc: 2",
            "shipped/both": "extends: [parts/one, parts/two]\nd: 3",
        }
    )
    both = presets.resolve("both")
    assert (both.options, both.description) == ({"a": 2, "b": 1, "c": 2, "d": 3}, "")
    assert list(presets) == ["both"]  # parts are no methods
    with pytest.raises(UnknownNameError, match="unknown method 'parts/one'"):
        presets.resolve("parts/one")


def test_stages_extend_presets_too(write: Write) -> None:
    presets = write(
        {
            "shipped/first": "description: alone\nspace: w\nsteps: 10",
            "shipped/both": "inverter: chain\nstages:\n  - {extends: first, steps: 5}\n  - {steps: 6}",
        }
    )
    both = presets.resolve("both")
    assert both.options == {"inverter": "chain", "stages": [{"space": "w", "steps": 5}, {"steps": 6}]}
    assert both.sources == ("shipped/both.yaml", "shipped/first.yaml")


def test_inline_hides_the_project_and_the_project_hides_what_is_shipped(write: Write) -> None:
    files = {"shipped/a": "x: 1\ny: 1", "mine/a": "extends: a\nx: 2", "shipped/b": "extends: a", "shipped/c": "x: 0"}
    presets = write(files, {"c": {"x": 9}, "own": {"extends": "a", "z": 1}})
    assert list(presets) == ["c", "own", "a", "b"]
    assert presets.resolve("a").options == {"x": 2, "y": 1}
    assert presets.resolve("b").options == {"x": 2, "y": 1}  # parents are looked up in the same order
    assert presets.resolve("c").options == {"x": 9}
    own = presets.resolve("own")
    assert own.options == {"x": 2, "y": 1, "z": 1}
    assert own.sources == ("invert.options.own", "mine/a.yaml", "shipped/a.yaml")
    assert write(files, {"a": {"extends": "a", "x": 3}}).resolve("a").options == {"x": 3, "y": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"mine/a": "extends: b", "mine/b": "extends: c", "mine/c": "extends: b"}, "b.yaml -> mine/c.yaml -> mine/b"),
        ({"mine/a": "stages: [{extends: a}]"}, r"mine/a.yaml -> mine/a.yaml: stages\[0\] -> mine/a.yaml"),
        ({"mine/a": "extends: b", "mine/b": "extends: lost"}, "mine/a.yaml -> mine/b.yaml: extends 'lost'"),
        ({"mine/a": "extends: parts/bsae", "mine/parts/base": "x: 1"}, "did you mean 'parts/base'"),
        ({"mine/a": "extends: a"}, "there is no a.yaml in shipped"),
        ({"shipped/a": "extends: a"}, "there is no a.yaml in any folder behind it"),
        ({"mine/a": "extends: {b: 1}"}, r"mine/a.yaml.extends: wanted the name of a preset or a list"),
        ({"mine/a": "- 1"}, "mine/a.yaml: wanted a mapping, got list"),
        ({"mine/a": "description: [1]"}, "mine/a.yaml.description: wanted one line of text"),
    ],
)
def test_what_is_wrong_names_the_chain_of_files(write: Write, files: dict[str, str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        write(files).resolve("a")


def test_an_inline_preset_that_is_none(write: Write) -> None:
    with pytest.raises(ParamsError, match=r"invert.options.a: wanted a mapping of options, got 3"):
        write({}, {"a": 3}).resolve("a")


def make_project(params: str) -> None:
    Path("params.yaml").write_text(params)
    Path("dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")


def test_folders_of_a_project_and_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages/ganvert"
    (package / "presets").mkdir(parents=True)
    monkeypatch.setattr(preset_files, "__file__", str(package / "base/preset_files.py"))
    monkeypatch.chdir(tmp_path)
    assert preset_folders() == [package / "presets"]
    make_project("")
    assert preset_folders() == [Path("presets"), package / "presets"]
    (package / "presets").rmdir()
    with pytest.raises(ParamsError, match="install ganvert again"):
        preset_folders()
    (package.parent / "presets").mkdir()  # a checkout
    monkeypatch.chdir(package.parent)
    assert preset_folders() == [Path("presets")]


@pytest.mark.parametrize(
    ("text", "inline"),
    [
        ("invert: {options: {mine: {extends: w}}}", {"mine"}),
        ("invert: {options: null}", set()),
        ("invert: 3", set()),
        ("train: {lr: 1}", set()),
    ],
)
def test_inline_presets_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, inline: set[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(text)
    presets = Presets.of_project(METHODS)
    assert set(presets.inline) == inline
    assert "w" in set(presets)


@pytest.mark.parametrize("pipeline", [None, "stages: {train: {cmd: python train.py}}"])
def test_files_of_the_same_names_that_belong_to_something_else_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str | None
) -> None:
    shipped = Presets.of_project(METHODS).resolve("w").options
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("invert: {options: {mine: {extends: w}}}\n{{ no YAML")
    if pipeline is not None:
        Path("dvc.yaml").write_text(pipeline)
    Path("presets").mkdir()
    Path("presets/w.yaml").write_text("colour: blue")
    presets = Presets.of_project(METHODS)
    assert presets.resolve("w").options == shipped
    assert "mine" not in set(presets)


@pytest.mark.parametrize("kind", [METHODS, ENCODERS])
def test_every_shipped_preset_says_what_it_is_in_a_line(kind: preset_files.PresetKind) -> None:
    presets = Presets(kind, folders=preset_folders()[-1:])
    for preset in map(presets.resolve, presets):
        assert preset.description.endswith("."), preset.name


def test_hidden_files_are_no_presets(write: Write) -> None:
    presets = write({"mine/one": "a: 1", "mine/._one": "b: 1"})
    Path("mine/.#one.yaml").symlink_to("somebody@machine.1")  # the lock of an editor
    assert list(presets) == ["one"]

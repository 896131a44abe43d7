"""How a function becomes a command, and how commands end."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ganvert import tables
from ganvert.cli import app


@pytest.mark.parametrize(
    "command",
    [
        "blend",
        "crossover",
        "describe",
        "diffuse",
        "directions",
        "edit",
        "export-codes",
        "extract",
        "fetch",
        "import",
        "import-codes",
        "inpaint",
        "interpolate",
        "invert",
        "methods",
        "sample",
        "studio",
        "transfer",
    ],
)
def test_every_command_has_help_with_an_example(run, command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"ganvert {command}" in done.output


def test_help_starts_with_what_a_newcomer_needs(run) -> None:
    lines = run("--help").output.partition("Commands")[2].splitlines()
    names = [line.split()[1] for line in lines if line.startswith("│ ") and not line.startswith("│  ")]
    assert names[:4] == ["invert", "edit", "directions", "methods"]
    assert len(names) == len(set(names)) > 20


def test_help_breaks_lines_at_paragraphs_and_examples_alone(run) -> None:
    lines = [line.strip() for line in run("diffuse", "--help").output.splitlines()]
    assert "ganvert diffuse me.jpg --onto painting.jpg --out diffused" in lines
    # The source breaks the line after "targets on".
    assert not [line for line in lines if line.endswith(("targets on", "top."))]


def test_a_missing_gradio_is_one_sentence(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("studio")
    assert done.exit_code == 1
    assert "pip install 'ganvert[studio]'" in " ".join(done.output.split())


def test_version(run) -> None:
    done = run("--version")
    assert done.exit_code == 0
    assert done.output == f"ganvert {importlib.metadata.version('ganvert')}\n"


def test_help_says_what_the_program_is_for(run) -> None:
    assert "photographs in, latent codes and edited photographs out" in " ".join(run("--help").output.split())


def test_names_in_brackets_are_shown_as_they_are(run, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rich takes [b] and [/b] in plain strings for styles, and fails on the second alone."""
    monkeypatch.chdir(tmp_path)
    tables.write(tmp_path / "[b] x [/b].parquet", tables.SCORES, [], {"note": "[/red]"})
    done = run("describe", "[b] x [/b].parquet")
    assert done.exit_code == 0, done.output
    assert "[b] x [/b].parquet" in done.output and "[/red]" in done.output
    done = run("describe", "[/b]")
    assert done.exit_code == 2
    assert "[/b]" in done.output


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xd8\xff\xe0 a photograph", "a photograph (JPEG)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
    ],
)
def test_files_that_are_no_checkpoint_are_called_what_they_are(run, tmp_path, data: bytes, says: str) -> None:
    (tmp_path / "g.pkl").write_bytes(data)
    for arguments in (("describe", tmp_path / "g.pkl"), ("import", tmp_path / "g.pkl", tmp_path / "g.safetensors")):
        done = run(*arguments)
        assert done.exit_code == 1, done.output
        assert says in " ".join(done.output.split())


def test_no_home_is_one_line(run, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    done = CliRunner().invoke(app, ["sample", "--out", "x.png"], env={"GANVERT_ASSETS": ""})
    assert done.exit_code == 1
    assert "set HOME, or GANVERT_ASSETS" in done.output


def test_the_input_is_never_replaced(run, photos, tmp_path) -> None:
    photo = tmp_path / "me.png"
    Image.new("RGB", (64, 64)).save(photo)
    before = photo.read_bytes()
    done = run("interpolate", photo, photo, "--out", photo)
    assert done.exit_code == 2 and "which would be replaced" in " ".join(done.output.split())
    assert photo.read_bytes() == before


@pytest.mark.parametrize("command", ["edit", "extract", "interpolate", "invert"])
def test_shared_options_stand_in_every_command_that_inverts(run, command: str) -> None:
    help_text = run(command, "--help").output
    assert all(option in help_text for option in ("--method", "--encoder", "--recipe", "--seed", "--generator"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("invert", "no-such.jpg", "--out", "x"), 2, "no-such.jpg"),
        (("invert", "a.jpg", "--method", "wplsu", "--out", "x"), 2, "did you mean 'wplus'"),
        (("invert", "a.jpg", "--recipe", "centre", "--out", "x"), 2, "did you mean 'center'"),
        (("invert", "a.jpg", "--metric", "lpips", "--out", "x"), 2, "lpips"),
        (("extract", "a.jpg", "--metric", "mse_2048", "--out", "x"), 2, "mse_2048"),
        (("edit", "a.jpg", "--direction", "smile", "--out", "x.png"), 2, "name=amount"),
        (("edit", "a.jpg", "--direction", "smile=1", "--out", "x.jpg"), 2, ".png"),
        (("describe", "no-such.safetensors"), 2, "no-such.safetensors"),
        (("import", "no-such.pkl", "x.safetensors"), 2, "no-such.pkl"),
        (("sample", "--out", "x.png", "--device", "tpu!"), 2, "device"),
        (("sample", "--out", "x.png", "--device", "mps"), 2, "device"),
        (("sample", "--out", "x.png", "--device", "meta"), 2, "device"),
        (("sample", "--out", "x.png", "--psi", "nan"), 2, "--psi: wanted a number that is finite"),
        (("sample", "--out", "x.png", "--psi", "inf"), 2, "--psi: wanted a number that is finite"),
        (("sample", "--out", "x.jpg"), 2, "ends in .png"),
        (("sample", "--out", "."), 2, "is a folder"),
        (("sample", "--out", "/proc/none/x.png"), 1, "cannot be written to"),
        (("sample", "--out", "x.png", "--generator", "none.pkl"), 2, "--generator: none.pkl: there is no such file"),
        (("invert", "a.jpg", "--out", "x", "--encoder", "none"), 2, "--encoder: none: there is no such file"),
        (("invert", "a.jpg", "--out", "x", "--seed", str(2**64)), 2, "--seed: wanted a number below 2^63"),
        (("invert", "a.jpg", "--out", "/dev/null"), 2, "is a file; wanted a folder"),
        (("extract", "a.jpg", "--out", "x", "--work", "/dev/null/x"), 2, "is a file; wanted a folder"),
        (("edit", "none", "--direction", "smile=1", "--out", "x.png"), 2, "there is no such photograph or folder"),
        (("edit", "a.jpg", "--direction", "smile=nan", "--out", "x.png"), 2, "name=amount"),
        (("edit", "a.jpg", "--direction", "smile=1", "--out", "."), 2, "results do not go there"),
        (("blend", "a.jpg", "b.jpg", "--out", "/dev/null"), 2, "is a file; wanted a folder"),
        (("transfer", "a.jpg", "b.jpg", "c.jpg", "--amount", "inf", "--out", "x"), 2, "--amount"),
        (("interpolate", "a.jpg", "b.jpg", "--out", "x.webp"), 2, "ends in .png"),
        (("import", "no-such.pkl", "."), 2, "is a folder"),
        (("methods", "wplsu"), 2, "did you mean 'wplus'"),
    ],
)
def test_mistakes_end_with_one_line_and_leave_nothing(
    run, arguments: tuple[str, ...], code: int, says: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert says in done.output.lower()
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())

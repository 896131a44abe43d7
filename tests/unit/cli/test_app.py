"""How a function becomes a command, and how commands end."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "command",
    [
        "blend",
        "describe",
        "edit",
        "extract",
        "fetch",
        "import",
        "interpolate",
        "invert",
        "methods",
        "sample",
        "transfer",
    ],
)
def test_every_command_has_help_with_an_example(run, command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"ganvert {command}" in done.output


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
        (("edit", ".", "--direction", "smile=1", "--out", "x.png"), 2, "is a folder; wanted a file"),
        (("edit", "a.jpg", "--direction", "smile=nan", "--out", "x.png"), 2, "name=amount"),
        (("edit", "a.jpg", "--direction", "smile=1", "--out", "."), 2, "is a folder"),
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

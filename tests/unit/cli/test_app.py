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
        (("invert", "a.jpg", "--method", "wplsu", "--out", "x"), 1, "did you mean 'wplus'"),
        (("invert", "a.jpg", "--recipe", "centre", "--out", "x"), 1, "did you mean 'center'"),
        (("invert", "a.jpg", "--metric", "lpips", "--out", "x"), 1, "lpips"),
        (("extract", "a.jpg", "--metric", "mse_2048", "--out", "x"), 2, "mse_2048"),
        (("edit", "a.jpg", "--direction", "smile", "--out", "x.png"), 2, "name=amount"),
        (("edit", "a.jpg", "--direction", "smile=1", "--out", "x.jpg"), 2, ".png"),
        (("describe", "no-such.safetensors"), 2, "no-such.safetensors"),
        (("import", "no-such.pkl", "x.safetensors"), 2, "no-such.pkl"),
        (("sample", "--out", "x.png", "--device", "tpu!"), 1, "device"),
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

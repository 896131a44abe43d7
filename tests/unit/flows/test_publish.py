"""Which files of a stage become artifacts, and in which form."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from flows import publish
from flows.pipeline import Stage


def stage(outs: list[str], plots: list[str]) -> Stage:
    return Stage("report", (), False, False, tuple(map(Path, outs)), (), tuple(map(Path, plots)))


def test_metrics_are_flattened_with_dotted_names() -> None:
    nested = {"encoder": {"lpips": 0.1, "runs": [1, 2]}, "faces": 4}
    assert list(publish.flat(nested)) == [
        ("encoder.lpips", 0.1),
        ("encoder.runs.0", 1),
        ("encoder.runs.1", 2),
        ("faces", 4),
    ]


def test_pictures_are_single_files_and_what_plot_folders_hold(tmp_path: Path) -> None:
    for name in ("plots/b.png", "plots/deep/a.svg", "plots/curve.json", "crops/one.png", "grid.png", "codes.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = publish.pictures(tmp_path, stage(["plots", "crops", "grid.png", "codes.parquet", "missing.png"], ["plots"]))
    assert [str(path) for path in found] == ["plots/b.png", "plots/deep/a.svg", "grid.png"]


def test_keys_have_the_characters_that_prefect_allows() -> None:
    assert publish.key(Path("reports/plots/Loss_W+.png")) == "reports-plots-loss-w-png"


def test_a_picture_becomes_a_data_uri(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    assert publish.data_uri(tmp_path / "x.png") == "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(
    "name",
    [
        "[click](javascript:alert(1)).png",
        "![](http://evil.example/x.png)",
        "<img src=http://evil.example/x.png onerror=alert(1)>.png",
        "<javascript:alert(1)>",
        "https://evil.example www.evil.example WWW.evil.example me@evil.example",
        "`</code><script>alert(1)</script>`.png",
        "a\\[b](javascript:alert(1)) `` ` ``` &lt;img&gt; *a* _b_ ~~c~~ # d",
        "```mermaid\n\nclick A href 'javascript:alert(1)'\n```",
    ],
)
def test_a_name_is_shown_as_text_whatever_is_in_it(name: str) -> None:
    """Nothing but text, code and a table comes out of a Markdown parser."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    line = " ".join(name.split())
    rows = [{"picture": publish.text(name), "file": publish.code(name)}]
    for source in (f"it is {rows[0]['picture']}", rows[0]["file"], "\n".join(publish.markdown_table(rows))):
        leaves = [leaf for token in parser.parse(source) for leaf in token.children or []]
        assert {leaf.type for leaf in leaves} <= {"text", "code_inline", "text_special"}, source
        assert "html" not in "".join(token.type for token in parser.parse(source))
        assert line in "".join(leaf.content for leaf in leaves)
    if re.search(r"://|www\.|@", name, re.IGNORECASE):  # UIs turn these into links by themselves, but not in code
        assert publish.text(name) == publish.code(name)

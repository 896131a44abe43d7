"""The code that every stage of dvc.yaml depends on, taken from the imports: DVC itself does not follow them.

``python -m stages.code_deps`` checks and exits with 1 where dvc.yaml is out of date; ``python -m stages.code_deps
--write`` corrects it. Comments, stages, data and parameters of dvc.yaml stay as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ganvert.base.files import atomic_path
from ganvert.base.provenance import PLUMBING, closure, modules

ROOT = Path(__file__).parents[1]
DVC = Path("dvc.yaml")
#: They import the whole library to check params.yaml, whichever stage runs. Of what they do for a stage, the strict
#: arithmetic of `ganvert.compute.device` alone decides results; it counts for all stages.
SHARED = ("stages.__init__", "stages.common", "stages.sections", "stages.settings")
#: What a stage imports with a package that it needs, but never runs.
UNUSED = {
    "align": ("ganvert.codes", "ganvert.encoders", "ganvert.inversion", "ganvert.scoring"),  # its job has no method
    "edit": ("ganvert.extraction.__init__",),  # it opens photographs
    "evaluate": ("ganvert.report",),  # but its plots, see ENTRIES
    "invert": ("ganvert.scoring",),  # its job has no metrics
    "report": ("ganvert.extraction.__init__",),  # it opens photographs
    "train_encoder": ("ganvert.report",),  # but its plots
    "watch": ("ganvert",),  # it runs always
}
#: What counts although UNUSED or PLUMBING covers it. For all stages but `fetch`, assets are data.
ENTRIES = {
    "evaluate": ("ganvert.report.plots",),
    "fetch": tuple(modules("ganvert.assets")),
    "presets": ("ganvert.base.preset_files",),
    "train_encoder": ("ganvert.report.plots",),
}
_STAGE = re.compile(r"  (\w+):")
_DEPS = re.compile(r"( +)deps:")
_CODE = re.compile(r" +- ((ganvert|stages)/[\w/]+(\.py)?)")


def code_of(stage: str) -> list[str]:
    """Return the files and folders of code that a stage depends on, its own file first.

    A package stands as a folder where more than half of it counts: that keeps dvc.yaml readable, and can only run a
    stage in vain (finished shards and trainings are keyed by the files themselves). Packages with plumbing do not.
    """
    entries = (f"stages.{stage}", "ganvert.compute.device", *ENTRIES.get(stage, ()))
    files = set(closure(*entries, without=(*PLUMBING, *SHARED, *UNUSED.get(stage, ()))))
    found = set[str]()
    folders = {folder for file in files for folder in Path(file).parents[:-2]}  # below `ganvert` and `stages`
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):  # a package before those inside
        inside = {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob("*.py")}
        plumbing = any(name.startswith(".".join(folder.parts) + ".") for name in PLUMBING)
        if 2 * len(inside & files) > len(inside) and not plumbing:
            found.add(folder.as_posix())
            files -= inside
    return sorted(found | files, key=lambda path: (not path.startswith("stages/"), path))


def rewrite(text: str) -> str:
    """Return the text of dvc.yaml with every stage's code first among its `deps`."""
    return "".join(f"{line}\n" for line in _rewritten(text.splitlines()))


def _rewritten(lines: list[str]) -> Iterator[str]:
    stage = ""
    for line in lines:
        if match := _STAGE.fullmatch(line):
            stage = match[1]
        if not _CODE.fullmatch(line):
            yield line
        if match := _DEPS.fullmatch(line):
            yield from (f"{match[1]}  - {dep}" for dep in code_of(stage))


def main() -> None:
    """Check dvc.yaml, or write it."""
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit("usage: python -m stages.code_deps [--write]")
    text = DVC.read_text()
    new = rewrite(text)
    if sys.argv[1:]:
        with atomic_path(DVC) as temporary:
            temporary.write_text(new)
    elif new != text:
        sys.exit("dvc.yaml: its code is not what the stages import; run `python -m stages.code_deps --write`")


if __name__ == "__main__":
    main()

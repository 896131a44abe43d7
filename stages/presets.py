"""presets: presets/ and those of params.yaml -> data/presets, a file with parents merged in for each one that runs.

DVC compares these files, so a method or encoder is stale exactly when its own options change, wherever they stand.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ganvert.base.files import atomic_path
from stages.common import stage

OUT = Path("data/presets")
ENCODERS = OUT / "encoders"
STUDY = OUT / "study"
#: Stages depend on these folders, which may have nothing else in them: of encoders, and of the methods of a study.
FOLDERS = (Path("data/encoders"), Path("reports/train_encoder"), STUDY)
log = logging.getLogger("presets")


def main() -> None:
    """Run the stage."""
    with stage("presets") as settings:
        shutil.rmtree(OUT, ignore_errors=True)  # a preset that no longer runs leaves nothing behind
        OUT.mkdir(parents=True)
        invert, training = settings.invert, settings.train_encoder
        compared = settings.study.methods if settings.study.photos else ()
        for folder, presets, names in (
            (OUT, invert.presets, invert.methods),
            (ENCODERS, training.presets, training.encoders),
            (STUDY, invert.presets, compared),
        ):
            for name in names:
                with atomic_path(folder / f"{name}.yaml") as temporary:
                    temporary.write_text(presets.resolve(name).to_yaml())
        for folder in FOLDERS:
            with atomic_path(folder / ".keep") as path:
                path.touch()
        log.info("presets of %d methods and %d encoders", len(invert.methods), len(training.encoders))


if __name__ == "__main__":
    main()

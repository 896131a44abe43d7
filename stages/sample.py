"""sample: codes of the generator with attribute scores -> data/samples.parquet and a contact sheet."""

from __future__ import annotations

import logging
from pathlib import Path

from ganvert.base.files import atomic_path
from ganvert.images import contact_sheet, to_png
from ganvert.sampling import sample, write_samples
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
WORK = Path(".work/sample")
OUT = Path("data/samples.parquet")
SHEET = Path("data/samples.png")
log = logging.getLogger("sample")


def main() -> None:
    """Run the stage."""
    with stage("sample") as settings:
        generator = generator_of(settings)
        samples = sample(generator, settings.sample, ASSETS, WORK)
        write_samples(OUT, generator, samples)
        log.info(
            "%d samples, %d drawn here, the scores of the others read from tables", len(samples.rows), samples.drawn
        )
        sheet = contact_sheet(samples.pictures, columns=8, size=192, captions=samples.captions)
        with atomic_path(SHEET) as temporary:
            temporary.write_bytes(to_png(sheet))


if __name__ == "__main__":
    main()

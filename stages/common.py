"""What every stage does first and last: read the settings, and turn typed errors into one line and an exit code."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganvert.base import params
from ganvert.base.errors import GanvertError, InputError
from ganvert.base.files import sweep
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.progress import log_to_stderr
from ganvert.generators import Generator
from stages.sections import Settings
from stages.settings import load_settings, read_generator

#: What stages write lies in these folders, or one below.
FOLDERS = (Path("data"), Path("reports"))


@contextmanager
def stage(name: str) -> Iterator[Settings]:
    """Yield the settings of params.yaml, with the name of a device that is here in place of ``auto``.

    All sections are checked first, also those of later stages: a mistake stops the run before any work. A
    GanvertError, a full disk or Ctrl-C ends the process with one line that says why.
    """
    log_to_stderr()
    strict_math()
    keep_freed_memory()
    start = time.monotonic()
    try:
        settings = load_settings()
        for folder in (*FOLDERS, *(inner for outer in FOLDERS for inner in outer.glob("*/"))):
            sweep(folder)
        yield dataclasses.replace(settings, device=str(resolve_device(settings.device)))
    except GanvertError as error:
        sys.exit(f"stage {name}: {error}")
    except OSError as error:
        sys.exit(f"stage {name}: {error.filename or 'file'}: {error.strerror or error}; nothing partial was kept")
    except KeyboardInterrupt:
        sys.exit(f"stage {name}: interrupted; finished files are whole, run it again to resume")
    logging.getLogger(name).info("stage %s: %.1f s", name, time.monotonic() - start)


def generator_of(settings: Settings) -> Generator:
    """Return the run's generator on its device, after a check of every parameter that depends on it."""
    return read_generator(settings).to(settings.device)


def resolved_options(file: Path) -> dict[str, Any]:
    """Return the options of a preset as the stage `presets` wrote them.

    Stages read what DVC compares, not presets/ itself: a preset that is edited while the pipeline runs counts from the
    next run on, and results are never recorded under options they were not made with.
    """
    if not file.exists():
        raise InputError(f"{file}: there is no such file; run the stage that writes it first: python -m stages.presets")
    return params.load(file)

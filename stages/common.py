"""What every stage does first and last: parameters in, typed errors to one clear line and an exit code."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ganvert.base import params
from ganvert.base.errors import GanvertError
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.progress import log_to_stderr
from ganvert.generators import Generator
from stages.settings import PARAMS, check, read_generator


@contextmanager
def stage(name: str) -> Iterator[dict[str, Any]]:
    """Yield every section of params.yaml as its dataclass, and ``device`` as a torch device.

    All sections are checked first, also those of later stages: a mistake stops the run before any work. A
    GanvertError, a full disk or Ctrl-C ends the process with one line that says why.
    """
    log_to_stderr()
    strict_math()
    keep_freed_memory()
    start = time.monotonic()
    try:
        raw = params.load(PARAMS)
        yield {**check(raw), "device": resolve_device(raw["device"])}
    except GanvertError as error:
        sys.exit(f"stage {name}: {error}")
    except OSError as error:
        sys.exit(f"stage {name}: {error.filename or 'file'}: {error.strerror or error}; nothing partial was kept")
    except KeyboardInterrupt:
        sys.exit(f"stage {name}: interrupted; finished files are whole, run it again to go on")
    logging.getLogger(name).info("stage %s: %.1f s", name, time.monotonic() - start)


def generator_of(told: Mapping[str, Any]) -> Generator:
    """The run's generator on the run's device, once everything in params.yaml that depends on it has been checked."""
    return read_generator(told).to(told["device"])

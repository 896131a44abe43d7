"""What methods cost on this machine, measured by inversions and kept for later runs; before that, what they cost us."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from pathlib import Path

from ganvert.base.files import write_json

__all__ = ["EXPECTED", "Expected", "Times"]


@dataclasses.dataclass(frozen=True)
class Expected:
    """What to expect of a method; means over portraits, from docs/scale.md (time to quality).

    Attributes:
        core_seconds: of one core of an AMD EPYC with AVX2.
        lpips: to the photograph, VGG at 256 px.
        identity: distance of dlib's descriptors to the photograph.
        words: the same for people.
    """

    core_seconds: float
    lpips: float
    identity: float
    words: str


EXPECTED = {
    "fast": Expected(25, 0.083, 0.22, "a likeness"),
    "balanced": Expected(42, 0.058, 0.16, "the person"),
    "best": Expected(220, 0.021, 0.07, "close to the photograph"),
}


class Times:
    """Seconds of methods on this machine.

    Args:
        path: a JSON file that later runs read too; None keeps nothing.
        generator: fingerprint of the generator that was used.
        threads: cores that an inversion takes.
    """

    def __init__(self, path: Path | None, generator: str, threads: int) -> None:
        self._path = path
        self._place = f"{platform.node()} {_processor()}, {threads} threads, generator {generator[:12]}"
        self._seconds: dict[str, float] = {}
        known = _read(path).get(self._place, {}) if path is not None else {}
        for method, seconds in known.items() if isinstance(known, dict) else ():
            if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds > 0:
                self._seconds[str(method)] = float(seconds)

    def of(self, method: str) -> float | None:
        """Return the seconds that a method took here; None where it has not been measured."""
        return self._seconds.get(method)

    def add(self, method: str, seconds: float) -> None:
        """Keep what a method took here: the shortest one, which waited least for other work."""
        self._seconds[method] = min(seconds, self._seconds.get(method, math.inf))
        if self._path is not None:
            known = _read(self._path)
            known[self._place] = {name: round(value, 2) for name, value in self._seconds.items()}
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._path, known)
            except OSError:  # a home that cannot be written to: the next run measures again
                self._path = None

    def lines(self, method: str) -> list[str]:
        """Return what a user can expect of a method: its time, measured here or estimated, and likeness."""
        measured, expected = self.of(method), EXPECTED.get(method)
        lines = [f"{measured:.0f} s, measured on this machine"] if measured is not None else []
        if expected is not None:
            if measured is None:
                lines.append(f"about {expected.core_seconds:.0f} s (estimate for one core)")
            lines.append(
                f"{expected.words}: identity distance {expected.identity:.2f}; up to 0.6 it is the same person"
            )
        return lines


def _read(path: Path) -> dict[str, object]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _processor() -> str:
    """Return what this machine computes with, as far as the system says."""
    return f"{platform.machine()} {os.cpu_count()} cores"

"""The sections of a study by name. A new one is one file and one line here.

The package may import `extraction` and what lies below.
"""

from __future__ import annotations

from ganvert.study.sections.base import Section, SectionOptions
from ganvert.study.sections.consistency import ConsistencyOptions, measure_consistency
from ganvert.study.sections.out_of_range import OutOfRangeOptions, transforms
from ganvert.study.sections.reconstruction import measure_reconstruction
from ganvert.study.sections.strength import StrengthOptions, finish_strength, measure_strength

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Section] = {
    "reconstruction": Section("Reconstruction", SectionOptions, measure_reconstruction, seeds=True),
    "strength": Section("Editing strength", StrengthOptions, measure_strength, finish=finish_strength, directions=True),
    "out_of_range": Section("Out of range", OutOfRangeOptions, measure_reconstruction, crops=transforms),
    "consistency": Section("Codes and the way back", ConsistencyOptions, measure_consistency, directions=True),
}

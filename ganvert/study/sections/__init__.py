"""The sections of a study by name. A new one is one file and one line here.

The package may import `extraction` and what lies below.
"""

from __future__ import annotations

from ganvert.study.sections.base import Section, SectionOptions
from ganvert.study.sections.consistency import ConsistencyOptions, measure_consistency
from ganvert.study.sections.in_domain import InDomainOptions, finish_in_domain, measure_in_domain
from ganvert.study.sections.out_of_range import OutOfRangeOptions, transforms
from ganvert.study.sections.padding import PaddingOptions, measure_padding
from ganvert.study.sections.reconstruction import measure_reconstruction
from ganvert.study.sections.strength import StrengthOptions, finish_strength, measure_strength

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Section] = {
    "reconstruction": Section("Reconstruction", SectionOptions, measure_reconstruction, seeds=True),
    "strength": Section(
        "Editing strength",
        StrengthOptions,
        measure_strength,
        finish=lambda finished, tools, options: finish_strength(finished.scores),
        directions=True,
    ),
    "out_of_range": Section("Out of range", OutOfRangeOptions, measure_reconstruction, crops=transforms),
    "in_domain": Section(
        "In-domain codes",
        InDomainOptions,
        measure_in_domain,
        finish=finish_in_domain,
        directions=True,
        pairs=True,
    ),
    "padding": Section("Padding and rows", PaddingOptions, measure_padding, pairs=True),
    "consistency": Section("Codes and the way back", ConsistencyOptions, measure_consistency, directions=True),
}

"""What a study does, as params.yaml has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.scoring.code_metrics import code_metric
from ganvert.scoring.metrics import check_metric_name
from ganvert.study.sections import SECTIONS
from ganvert.study.sections.base import SectionOptions

__all__ = ["METRICS", "StudyOptions", "metrics_for"]

#: What reconstructions are scored by: both LPIPS networks at both sizes, as the papers do not agree on one.
METRICS = (
    "mse_256",
    "mse_1024",
    "psnr_1024",
    "ssim_256",
    "ssim_1024",
    "lpips_vgg_256",
    "lpips_alex_256",
    "lpips_vgg_1024",
    "lpips_alex_1024",
    "identity_dlib",
    "identity_mobilefacenet",
    "identity_mobilefacenet_mtcnn",
)


def metrics_for(resolution: int) -> tuple[str, ...]:
    """Return :data:`METRICS` for a generator, its own resolution in place of 1024 px and of what it does not draw."""
    sized = []
    for name in METRICS:
        base, _, size = name.rpartition("_")
        px = resolution if size == "1024" else min(int(size), resolution) if size.isdecimal() else 0
        sized.append(f"{base}_{px}" if px else name)
    return tuple(dict.fromkeys(sized))


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """params.yaml: study.

    Attributes:
        photos: files, archives, lists, and folders searched to any depth; empty for no study.
        methods: presets. One that asks for weights that are not there becomes rows with a status.
        reference: the method that the others are compared with; None is the first one.
        steps: most steps of a method; one with more is shortened, each of its stages in proportion. None keeps the
            presets' own, which share their codes with the pipeline.
        seeds: how often methods that start from a random draw are run (3 in the F/Z+ paper's protocol).
        metrics: of reconstructions.
        code_metrics: of codes alone, such as ``frechet_vgg16_64``: what the rest of a tuned generator has lost.
        shown: photographs whose pictures are kept for the page, the first ones.
        protocol: name of a check of the photographs: "celebahq2824" wants as many crops; None for none.
        sections: what is measured: a name of :data:`ganvert.study.sections.SECTIONS`, and its options.
    """

    photos: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    reference: str | None = None
    steps: int | None = None
    seeds: int = 3
    metrics: tuple[str, ...] = METRICS
    code_metrics: tuple[str, ...] = ()
    shown: int = 4
    protocol: str | None = None
    sections: dict[str, Any] = field(default_factory=lambda: {"reconstruction": {}})

    def __post_init__(self) -> None:
        for name, value, least in (("steps", self.steps, 1), ("seeds", self.seeds, 1), ("shown", self.shown, 0)):
            if value is not None and value < least:
                raise ParamsError(f"{name}: wanted {least} or more, got {value}")
        if self.photos and not self.methods:
            raise ParamsError("methods: wanted at least one")
        if twice := [name for name, count in Counter(self.methods).items() if count > 1]:
            raise ParamsError(f"methods: {twice[0]} is named twice")
        if self.reference is not None:
            lookup(dict.fromkeys(self.methods), self.reference, "method of the study (reference)")
        if self.protocol is not None:
            lookup(PROTOCOLS, self.protocol, "protocol")
        if self.photos and not self.sections:
            raise ParamsError(f"sections: wanted at least one of {', '.join(SECTIONS)}")
        for name in self.metrics:
            check_metric_name(name)
        for name in self.code_metrics:
            code_metric(name)
        self.section_options()

    def section_options(self) -> dict[str, SectionOptions]:
        """Return every section's options, checked."""
        found: dict[str, SectionOptions] = {}
        for name, raw in self.sections.items():
            found[name] = params.build(lookup(SECTIONS, name, "section").options, raw or {}, f"sections.{name}")
            for method in found[name].methods:
                lookup(dict.fromkeys(self.methods), method, f"method of the study (sections.{name}.methods)")
        return found

    @property
    def compared_with(self) -> str:
        """The method that the others are compared with."""
        return self.reference or self.methods[0]


#: Protocol to the number of crops that it wants.
PROTOCOLS = {"celebahq2824": 2824}

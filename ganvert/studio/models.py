"""The networks of a studio, loaded once for all who use it, and the library's functions on them."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
import statistics
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ganvert.assets.shipped import shipped
from ganvert.base.errors import NoFaceError, ParamsError
from ganvert.base.preset_files import METHODS, Presets
from ganvert.base.registry import lookup
from ganvert.codes import Code, codes_of_inversion
from ganvert.directions import (
    Direction,
    choose_rows,
    load_directions,
    movable_rows,
    named_rows,
    unconditional,
)
from ganvert.editing.amounts import reach
from ganvert.editing.contract import Edit, EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.fit import Fit, seam_error
from ganvert.editing.paste import Pasted, PasteOptions, paste_edit
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.faces import ATTRIBUTES, RECIPES, FaceDetector, Photo, align, open_photo
from ganvert.faces.align import Aligned
from ganvert.faces.attributes import AttributeScorer
from ganvert.generators import Generator
from ganvert.generators.base import SynthesisInput
from ganvert.images import from_pil, to_pil
from ganvert.inversion.contract import Context, Inversion, Watch
from ganvert.inversion.inputs import masks_of
from ganvert.inversion.presets import Preset, read_resolved
from ganvert.inversion.preview import Fitted, Preview
from ganvert.inversion.run import Crop, invert_crops, make_context, shipped_encoders
from ganvert.sampling.scores import read_score_table
from ganvert.scoring.metrics import NamedMetric, available
from ganvert.scoring.score import asset_metrics, score_reconstructions
from ganvert.studio.changes import Changes
from ganvert.studio.pictures import memory_of
from ganvert.studio.times import EXPECTED, Times

__all__ = ["PREVIEW_PX", "Face", "Found", "Models", "Opened"]

PREVIEW_PX = 256  # side of the pictures that are drawn while a slider moves
_PIXELS = 100_000_000  # of a photograph at most
_SHOWN_PX = 1280  # longest side of a photograph on the page
_MASKS = 8  # of faces and regions that are kept
_FACES = 30  # of a photograph, the largest ones
_CONTEXTS = 6  # methods that stay loaded, each with a generator in bfloat16 of its own (30 MB)
_FAMILIES = re.compile(r"_\d+$")  # components of a decomposition are numbered, attributes have names
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A face of a photograph: an aligned crop, where it came from, and the id that seeds its inversion."""

    image_id: str
    aligned: Aligned


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A photograph and the faces that were found on it.

    Attributes:
        data: the file. Decoded, a photograph takes up to a hundred times as much memory, so it is not kept so.
        name: what it is called.
        size: width and height, upright [px].
        small: the photograph as the page shows it.
        faces: largest first, :data:`_FACES` at most.
    """

    data: bytes
    name: str
    size: tuple[int, int]
    small: Image.Image
    faces: Sequence[Face]

    def photo(self) -> Photo:
        """Decode the photograph, at full size."""
        return open_photo(self.data, _PIXELS, self.name)

    @property
    def held(self) -> int:
        """Memory that it takes [bytes]."""
        return len(self.data) + memory_of(self.small, *(face.aligned.crop for face in self.faces))


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a method found of a face: its code, and the inversion that a table of codes is written from."""

    code: Code
    inversion: Inversion

    @property
    def held(self) -> int:
        """Memory that it takes [bytes]: codes, noise, and of a tuned generator the changes and the generator."""
        of = self.inversion
        tensors = [
            *of.variables.values(),
            *of.noise,
            of.trace,
            *(part for each in of.weights for part in each.values()),
        ]
        if self.code.tuned is not None:
            tensors += self.code.space.generator.state_dict().values()
        return sum(tensor.nbytes for tensor in tensors)


class Models:
    """What all sessions share. Interactive work takes turns, and so do inversions: one photograph each at a time.

    Args:
        generator: on its device.
        directions: a table of directions.
        assets: folder of the networks.
        recipe: how faces are cut.
        encoders: weights that take the place of the shipped encoders.
        first: the method of the first picture, one pass of an encoder.
        times: where the seconds of methods are kept; None for nowhere.

    Raises:
        GanvertError: something is missing or does not belong to the generator.
    """

    def __init__(
        self,
        generator: Generator,
        directions: Path,
        assets: Path,
        recipe: str = "ffhq",
        encoders: Sequence[Path] = (),
        first: str = "encoder_feature",
        times: Path | None = None,
    ) -> None:
        self.generator, self.assets, self.recipe, self.encoders = generator, assets, recipe, list(encoders)
        self.needs_face = lookup(RECIPES, recipe, "alignment recipe").needs_face
        self.table, self.directions_path = load_directions(directions, generator), directions
        self.presets = Presets.of_project(METHODS)
        self.first, self.population = first, Population(generator)
        self.times = Times(times, generator.fingerprint(), torch.get_num_threads())
        self.drawing, self.inverting, self.measuring = threading.RLock(), threading.Lock(), threading.Lock()
        self.working = threading.Lock()
        self._drafts: tuple[Code, Preview, Fitted] | None = None
        self._masks: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._contexts: OrderedDict[str, tuple[Preset, Context]] = OrderedDict()
        self._loading = threading.Lock()
        self.context_of(first)

    @property
    def directions(self) -> tuple[list[str], list[str]]:
        """Names of the directions for codes in W: those that are named after attributes, and the numbered ones."""
        known = {name: direction for (name, space), direction in self.table.items() if not space.startswith("z")}
        free = {other.name for direction in known.values() if (other := unconditional(self.table, direction))}
        names = [name for name in known if name not in free]  # those stand in for their own, by the toggle
        named = [name for name in names if not _FAMILIES.search(name)]
        return named, [name for name in names if name not in named]

    @cached_property
    def detector(self) -> FaceDetector | None:
        """What finds faces; None where the recipe needs none."""
        return FaceDetector(self.assets, second_look=True) if self.needs_face else None

    @cached_property
    def scorer(self) -> AttributeScorer | None:
        """What measures faces; None where crops show none."""
        return AttributeScorer(self.assets, list(self.spreads)) if self.needs_face else None

    @cached_property
    def sampled(self) -> Mapping[str, Sequence[float]]:
        """Attribute to its scores of faces of the FFHQ generator."""
        scores, _ = read_score_table(shipped("scores_ffhq.parquet"))
        return {name: list(values.values()) for name, values in scores.items() if name in ATTRIBUTES}

    @cached_property
    def spreads(self) -> Mapping[str, float]:
        """Attribute to its standard deviation among these faces: what bars are scaled by."""
        return {name: statistics.pstdev(values) for name, values in self.sampled.items()}

    @cached_property
    def usual(self) -> Mapping[str, tuple[float, float]]:
        """Attribute to its 10th and its 90th percentile among them."""
        deciles = {name: statistics.quantiles(values, n=10) for name, values in self.sampled.items()}
        return {name: (ends[0], ends[-1]) for name, ends in deciles.items()}

    @cached_property
    def ladder(self) -> list[str]:
        """The methods that have a card, from fast to good; without any of them that of the first picture."""
        return [name for name in EXPECTED if name in self.presets] or [self.first]

    def context_of(self, method: str) -> tuple[Preset, Context]:
        """Return a method and what it works with; that of the methods used last, and of the first picture, is kept."""
        with self._loading:
            if method not in self._contexts:
                preset = read_resolved(self.presets.resolve(method))
                encoders = self.encoders_of(preset)
                context = make_context(preset, self.generator, encoders, self.assets)
                # Frozen weights, and what their fast convolutions make of them, once for all methods: 260 MB.
                same = [known.encoder for used, known in self._contexts.values() if self.encoders_of(used) == encoders]
                if encoders and same:
                    context = dataclasses.replace(context, encoder=same[0])
                self._contexts[method] = preset, context
            for used in (method, self.first):
                if used in self._contexts:
                    self._contexts.move_to_end(used)
            found = self._contexts[method]
            while len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
            return found

    def encoders_of(self, preset: Preset) -> list[Path]:
        """Return the weights of the encoders that a method starts from."""
        return (self.encoders or shipped_encoders(preset)) if preset.needs_encoder else []

    @property
    def own_generator(self) -> dict[str, Any] | None:
        """The section `generator` of params.yaml; None where it is the default one."""
        source = self.generator.source
        if source is None or source.absolute() == (self.assets / "mobile_stylegan.safetensors").absolute():
            return None
        return {"path": str(source), "label": self.generator.label}

    def starts(self, method: str) -> list[str]:
        """Return the files that a method starts from, as params.yaml names them in `invert.methods`."""
        preset, _ = self.context_of(method)
        if not preset.needs_encoder:
            return [(self.own_generator or {"path": "data/assets/mobile_stylegan.safetensors"})["path"]]
        if self.encoders:
            return [str(path) for path in self.encoders]
        return [f"ganvert/weights/{path.name}" for path in self.encoders_of(preset)]

    def open(self, data: bytes, name: str) -> Opened:
        """Read a photograph and cut its faces.

        Raises:
            PhotoError: it cannot be used; the message says why and what to do.
        """
        with self.drawing:
            photo = open_photo(data, _PIXELS, name)
            found = [None] if self.detector is None else self.detector.detect_turned(photo.image).faces
            if not found:
                raise NoFaceError(
                    f"{name}: no face found; wanted a face seen from the front that is 40 px wide or more: "
                    "take a closer or a larger photograph"
                )
            faces = [
                Face(
                    f"{photo.photo_id[:16]}-{i}",
                    align(photo.image, points, self.generator.resolution, self.recipe),
                )
                for i, points in enumerate(found[:_FACES])
            ]
            size, small = photo.size, photo.image  # no other needs it any more
            small.thumbnail((_SHOWN_PX, _SHOWN_PX), Image.Resampling.LANCZOS)
        return Opened(data, name, size, small, faces)

    def invert(
        self, face: Face, method: str, watch: Watch | None = None, on_images: Callable[[float], None] | None = None
    ) -> Found:
        """Return what a method finds of a face."""
        preset, context = self.context_of(method)
        if preset.together:
            raise ParamsError(f"{method}: tunes one generator for many photographs; choose another method here")
        crop = Crop(face.image_id, face.aligned.crop)
        silent = on_images or (lambda images: None)
        return self.found(invert_crops([crop], preset, context.watched(watch), seed=0, on_images=silent), face, method)

    def found(self, inversion: Inversion, face: Face, method: str) -> Found:
        """Return what an inversion of one face has found."""
        return Found(codes_of_inversion(inversion, [face.image_id], method, self.generator)[0], inversion)

    def mask(self, face: Face, region: str) -> Tensor | None:
        """Return where a face alone changes; None for everywhere. NoRegionError where it does not show the region."""
        return self.mask_of(face.image_id, face.aligned.crop, region)

    def mask_of(self, image_id: str, crop: Image.Image, region: str) -> Tensor | None:
        """Return the same of an aligned crop."""
        if not region:
            return None
        with self.drawing:
            if (image_id, region) not in self._masks:
                self._masks[image_id, region] = masks_of(region, [crop], [image_id], None, self.assets)
                while len(self._masks) > _MASKS:
                    self._masks.popitem(last=False)
            return self._masks[image_id, region]

    def direction(self, name: str, code: Code) -> Direction:
        """Return the direction of a name, such as ``smile`` or ``smile@0:3``, for the space of a code."""
        return choose_rows(self.table, name, code.space.direction_space, self.generator.num_ws)

    def reach(self, name: str) -> tuple[float, float]:
        """Return the least and the largest amount of a direction's slider, which is of codes in W."""
        return reach(self.in_w(name))

    def in_w(self, name: str) -> Direction:
        """Return the direction of a name for codes in W."""
        return choose_rows(self.table, name, "w", self.generator.num_ws)

    def rows_of(self, name: str, code: Code) -> Mapping[str, tuple[int, int]]:
        """Return the named ranges of rows on which a direction moves a code."""
        direction, known = self.direction(name, code), named_rows(self.generator)
        if direction.space == "s":
            return {}
        first, last = movable_rows(direction, self.generator.num_ws)
        drawn = code.space.first_coded  # a feature map stands in the place of the rows before it
        return {name: rows for name, rows in known.items() if first <= rows[0] and drawn < rows[1] <= last}

    def free_of(self, name: str, code: Code) -> str:
        """Return the name of the direction of the same score that leaves no other score alone; empty for none."""
        found = unconditional(self.table, self.direction(name, code))
        return found.name if found else ""

    def draw(self, code: Code, changes: Changes, mask: Tensor | None = None) -> Image.Image:
        """Draw a code with changes, at full size; `mask` is where it may change."""
        with self.drawing, torch.no_grad():
            return to_pil(code.space.generator.synthesize(self._moved(code, changes, mask)))[0]

    def draw_edit(self, edit: Edit, inputs: EditInputs, amount: float) -> Image.Image:
        """Draw an edit of several codes, at full size."""
        with self.drawing:
            return draw_edit(edit, inputs, amount)

    def draft(self, code: Code, changes: Changes, mask: Tensor | None = None) -> Image.Image:
        """Draw a code with changes in a fifth of the time, of :data:`PREVIEW_PX` at most, and softer."""
        generator = code.space.generator
        with self.drawing, torch.no_grad():
            if self._drafts is None or self._drafts[0] is not code:
                preview = Preview(generator, PREVIEW_PX // 2)
                # What the fit leaves over belongs to the place where it was: on a head that turns it would stand still.
                fitted = [
                    dataclasses.replace(fit, residual=fit.residual * 0) for fit in preview.fit(code.synthesis_input())
                ]
                self._drafts = code, preview, Fitted.join(fitted)
            _, preview, fit = self._drafts
            return to_pil(preview.draw(self._moved(code, changes, mask), fit))[0]

    def _moved(self, code: Code, changes: Changes, mask: Tensor | None) -> SynthesisInput:
        """Return what the generator draws for a code with changes."""
        edit = EDITS["shift" if mask is None else "local"]
        moves = [(self.direction(name, code), amount) for name, amount in changes.amounts.items()]
        if not moves:
            return code.synthesis_input()
        inputs = EditInputs(code=code, directions=moves, mask=mask)
        edit.check(inputs, 1.0)
        return edit.apply(inputs, 1.0)

    def places(self, code: Code, changes: Changes) -> Mapping[str, float]:
        """Return how many standard deviations an edited code lies from the samples' mean, by direction."""
        with self.drawing:
            found = {
                name: self.population.sigmas(self.direction(name, code), code, amount)
                for name, amount in changes.amounts.items()
            }
        return {name: round(sigmas, 2) for name, sigmas in found.items() if sigmas is not None}

    def paste(self, opened: Opened, face: Face, edited: Image.Image, plain: Image.Image, region: str) -> Pasted:
        """Return the photograph with an edited face in it."""
        options = PasteOptions(region=region)  # type: ignore[arg-type]
        options.check_assets(self.assets)
        with self.drawing:
            return paste_edit(opened.photo(), edited, plain, face.aligned.quad, options, self.assets)

    def fit(self, face: Face, plain: Image.Image) -> Fit:
        """Return how well a reconstruction lies on the photographed face."""
        distance = self.identity(plain, face.aligned.crop)
        return Fit(seam_error(face.aligned.crop, plain, PasteOptions().feather), distance)

    def identity(self, picture: Image.Image, other: Image.Image) -> float | None:
        """Return the distance of two faces' descriptors; None where no face is found, or crops are no faces."""
        if not self.needs_face:
            return None
        with self.measuring:
            distance = float(self._identity(from_pil([picture]), from_pil([other]))[0])
        return distance if math.isfinite(distance) else None

    @cached_property
    def _identity(self) -> Callable[..., Tensor]:
        return asset_metrics(["identity_dlib"], self.assets)[0]

    @cached_property
    def metrics(self) -> list[NamedMetric]:
        """What pictures of one face are compared by."""
        names = [f"{name}_{min(256, self.generator.resolution)}" for name in ("lpips_vgg", "mse")]
        if self.needs_face:
            names += available(["identity_dlib", "identity_mobilefacenet"], self.assets)
        return asset_metrics(names, self.assets)

    def compare(self, picture: Image.Image, other: Image.Image) -> Mapping[str, float | None]:
        """Return every metric of a picture and another one, such as the photograph's crop; None for no face."""
        with self.measuring:
            rows = score_reconstructions([{}], [picture], [other], self.metrics, self.generator.image_channels)
        return {row["metric"]: row["value"] for row in rows}

    def scores(self, picture: Image.Image) -> Mapping[str, float | None]:
        """Return every attribute of a picture; nothing where crops are no faces."""
        if self.scorer is None:
            return {}
        with self.measuring:
            return self.scorer.score([picture])[0]

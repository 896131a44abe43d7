"""An encoder: a backbone, a neck and heads, as described in ``params.yaml``. It predicts a code from an image."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.checkpoints.ganvert_file import write_tensors
from ganvert.checkpoints.tensors import Joined
from ganvert.encoders.backbones import BACKBONES
from ganvert.encoders.descriptor import DESCRIBED_PX, DESCRIPTOR_SIZE, describe
from ganvert.encoders.heads import HEADS, Head, Prediction
from ganvert.encoders.neck import FPN
from ganvert.generators.base import Generator
from ganvert.images import area_resize, as_rgb
from ganvert.spaces import check_space, make_space

__all__ = ["Encoder", "EncoderSpec", "write_encoder"]

_MOST_PASSES = 100  # ReStyle takes 5
_MOST_PX = 4096  # the largest backbones take 256
_MOST_PIXELS = 64  # every one is an input of a dense layer


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """The architecture of an encoder, as it stands in params.yaml and in every weights file.

    Attributes:
        space: the space of the predicted code: ``wplus``, ``f16/wplus``, ``pad/wplus``, ...
        backbone: name in ``ganvert.encoders.backbones.BACKBONES``.
        neck: ``fpn`` for a feature pyramid between backbone and heads.
        heads: names in ``ganvert.encoders.heads.HEADS``, each with its options.
        descriptor: ``dlib`` for dlib's descriptor of the face beside the maps; for images that are aligned as FFHQ is.
        pixels: side of a small picture beside the maps, for heads that read everything; 0 for none.
        input_px: side of the images that the backbone sees; None is its default.
        passes: number of passes. Above 1 the input is the photograph and the reconstruction of the pass before, and
            each pass corrects the rows of that one (ReStyle, Alaluf et al. 2021, arXiv 2104.02699, section 3).
    """

    space: str = "wplus"
    backbone: str
    neck: Literal["none", "fpn"] = "none"
    heads: dict[str, dict[str, Any]]
    descriptor: Literal["none", "dlib"] = "none"
    pixels: int = 0
    input_px: int | None = None
    passes: int = 1

    def __post_init__(self) -> None:
        check_space(self.space)
        lookup(BACKBONES, self.backbone, "backbone")
        for name in self.heads:
            lookup(HEADS, name, "head")
        if not self.heads or not 1 <= self.passes <= _MOST_PASSES:
            raise ParamsError(f"an encoder needs a head, and passes of 1 to {_MOST_PASSES}")
        if self.passes > 1 and any(HEADS[name].reads == "image" for name in self.heads):
            raise ParamsError(f"heads {', '.join(self.heads)}: one reads the image, which takes one pass: passes: 1")
        if self.descriptor == "none" and any(HEADS[name].reads == "descriptor" for name in self.heads):
            raise ParamsError(f"heads {', '.join(self.heads)}: one reads the descriptor of the face: descriptor: dlib")
        if not 0 <= self.pixels <= _MOST_PIXELS:
            raise ParamsError(f"pixels: wanted 0 to {_MOST_PIXELS}, got {self.pixels}")
        if self.input_px is not None and not 8 <= self.input_px <= _MOST_PX:
            raise ParamsError(f"input_px: wanted 8 to {_MOST_PX}, got {self.input_px}")


class Encoder(nn.Module):
    """Predicts a code from images."""

    w_avg: Tensor  # [w_dim]

    def __init__(self, spec: EncoderSpec, generator: Generator, folder: Path | None = None, seed: int = 0) -> None:
        """Build an encoder with new weights.

        Args:
            spec: its architecture.
            generator: decides the sizes. It is kept to draw what several passes compare.
            folder: the asset folder, for backbones whose weights are an asset.
            seed: of the weights.

        Raises:
            ParamsError, UnsupportedError: a head's options are wrong, or the generator lacks what it predicts.
        """
        super().__init__()
        self.spec, self.space = spec, spec.space
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self._generator = [generator]  # in a list, and so out of the module tree: its weights are not the encoder's
        kind = lookup(BACKBONES, spec.backbone, "backbone")
        px = spec.input_px or kind.default_px
        self._folder = folder
        #: Side of the input images: the backbone's, unless the descriptor wants larger ones.
        self.input_px = max(px, DESCRIBED_PX) if spec.descriptor == "dlib" else px
        images = 1 if spec.passes == 1 else 2
        # PyTorch initialises from the global generator: a fork leaves everybody else's numbers as they are.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = kind(channels=3 * images, px=px, folder=folder)
            self.neck = FPN(self.backbone.taps) if spec.neck == "fpn" else None
            described = DESCRIPTOR_SIZE * images if spec.descriptor == "dlib" else 0
            #: Numbers beside the maps: the descriptor's, then those of the small picture.
            self.numbers = (described, 3 * images * spec.pixels**2)
            beside = {1: sum(self.numbers)} if any(self.numbers) else {}
            #: The image as a map of its own, for heads that read it; or nothing.
            self.image = {self.input_px: 3} if any(HEADS[name].reads == "image" for name in spec.heads) else {}
            #: Side [px] of every feature map to its channels, fine to coarse; the numbers are a map of 1 px.
            self.taps = self.backbone.taps | beside | self.image
            maps = self.neck.taps if self.neck else self.backbone.taps
            pictures = dict(maps)
            if spec.pixels:
                pictures[spec.pixels] = pictures.get(spec.pixels, 0) + 3 * images
            taps = {"maps": maps, "pictures": pictures, "descriptor": {1: described}, "all": maps | beside}
            taps["image"] = self.image
            self.heads = nn.ModuleDict()
            for name, options in sorted(spec.heads.items()):  # the order in params.yaml must not change the weights
                try:
                    head = lookup(HEADS, name, "head")
                    self.heads[name] = head(generator, taps[head.reads], **options)
                except TypeError as error:
                    raise ParamsError(f"head {name}: {error}") from error
        if spec.passes > 1 and "ws" not in self.parts:
            raise ParamsError(
                f"passes: {spec.passes}: every pass corrects the rows of the one before, but the heads predict "
                f"{', '.join(sorted(self.parts))}: passes: 1, or a head of rows"
            )
        # pSp and its successors predict offsets from w_avg: a network that predicts zero draws the mean image.
        self.register_buffer("w_avg", generator.w_avg.detach().clone())
        self.to(generator.w_avg.device)

    @cached_property
    def generator_fingerprint(self) -> str:
        """The sha256 of the generator that it belongs to."""
        return self._generator[0].fingerprint()

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or back; frozen parts stay as they are used: without dropout, with BN's statistics."""
        super().train(mode)
        for part in (self.backbone, self.neck, *self.heads.values()):
            if part is not None and not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def part(self, name: str) -> nn.Module:
        """Return the backbone or neck, by these names, or a head."""
        parts = {"backbone": self.backbone, "neck": self.neck, **dict(self.heads.items())}
        return cast(nn.Module, parts[name])

    def at_step(self, step: int) -> None:
        """Pass the number of the training step to heads that change with it (e4e's progressive training)."""
        for head in self.heads.values():
            head.at_step(step)  # type: ignore[operator]

    @property
    def distinct_rows(self) -> int:
        """Number of rows of ws, from row 0 on, that have values of their own; the others repeat row 0 (e4e)."""
        return min(head.distinct_rows for head in self.heads.values() if isinstance(head, Head))

    @property
    def parts(self) -> set[str]:
        """Names of the parts of a code that it predicts."""
        return {part for head in self.heads.values() if isinstance(head, Head) for part in head.parts}

    def features(self, images: Tensor) -> dict[int, Tensor]:
        """Return feature maps, numbers and what heads want of the image itself, side -> [N, c, side, side].

        `images` are [N, 3 or 6, input_px, input_px].
        """
        maps = self.backbone(area_resize(images, self.backbone.px))
        numbers = [describe(images, self._folder)] if self.spec.descriptor == "dlib" else []
        if self.spec.pixels:
            numbers.append(area_resize(images, self.spec.pixels).flatten(1)[:, :, None, None])
        if numbers:
            maps = maps | {1: torch.cat(numbers, dim=1)}
        return maps | {self.input_px: images} if self.image else maps

    def _offsets(self, inputs: dict[str, dict[int, Tensor]]) -> Prediction:
        """Return what heads predict that do not see the rows; "ws" are offsets from w_avg, or from the pass before.

        Offsets that several heads predict are added.
        """
        prediction: Prediction = {}
        for head in self.heads.values():
            if not head.sees_rows:
                part = head(inputs[head.reads])  # type: ignore[index]
                prediction |= {
                    name: prediction[name] + part[name] if name in prediction else part[name] for name in part
                }
        return prediction

    def _inputs(self, taps: dict[int, Tensor]) -> dict[str, dict[int, Tensor]]:
        """Return what heads may read, by the names of ``Head.reads``."""
        maps = {side: taps[side] for side in self.backbone.taps}
        maps = self.neck(maps) if self.neck else maps
        inputs = {"maps": maps, "pictures": maps, "descriptor": {}, "all": maps}
        inputs["image"] = {side: taps[side] for side in self.image}
        if any(self.numbers):
            inputs |= {"descriptor": {1: taps[1][:, : self.numbers[0]]}, "all": maps | {1: taps[1]}}
        if px := self.spec.pixels:
            small = taps[1][:, self.numbers[0] :].unflatten(1, (-1, px, px)).squeeze((4, 5))
            inputs["pictures"] = maps | {px: torch.cat([maps[px], small], dim=1) if px in maps else small}
        return inputs

    def predict(self, taps: dict[int, Tensor], before: Tensor | None = None) -> Prediction:
        """Return the prediction from the backbone's feature maps.

        Args:
            taps: see :meth:`features`.
            before: rows [N, num_ws, w_dim] of the pass before; None for w_avg.
        """
        inputs = self._inputs(taps)
        prediction = self._offsets(inputs)
        if "ws" in prediction:
            prediction["ws"] = prediction["ws"] + (self.w_avg if before is None else before)
        for head in self.heads.values():
            if head.sees_rows:
                prediction |= head(inputs[head.reads], prediction.get("ws"))  # type: ignore[index]
        return prediction

    def correct(self, images: Tensor, before: Prediction | None = None) -> Prediction:
        """Run one more pass, which corrects the rows of the prediction `before` (ReStyle, section 3).

        Only the new offsets have gradients: as in the release, reconstruction and rows of earlier passes are detached,
        and the reconstruction is not clamped: what it has outside of [-1, 1] is an error that the encoder may correct.

        Args:
            images: photographs [N, 3, input_px, input_px] in [-1, 1].
            before: the prediction of the pass before; None in the first, which compares with the image of w_avg.
        """
        # The reconstruction is drawn in full precision, even where autocast is on for the encoder. That of w_avg is
        # drawn once for all images.
        known = before or {"ws": self.w_avg.expand(1, self.num_ws, -1)}
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            drawn = area_resize(as_rgb(self.draw(known)), self.input_px).expand_as(images)
        return self.predict(self.features(torch.cat([images, drawn], dim=1)), known["ws"].detach())

    def draw(self, prediction: Prediction) -> Tensor:
        """Return the reconstructions [N, C, resolution, resolution] of a prediction in the encoder's own space."""
        space = make_space(self.space if set(prediction) != {"ws"} else "wplus", self._generator[0])
        n = len(next(iter(prediction.values())))
        return self._generator[0].synthesize(space.decode(space.adopt(prediction, [0] * n)))

    def passes(self, images: Tensor) -> list[Prediction]:
        """Return the prediction of every pass over images [N, 3, input_px, input_px]."""
        if self.spec.passes == 1:
            return [self.predict(self.features(images))]
        predictions = [self.correct(images)]
        while len(predictions) < self.spec.passes:
            predictions.append(self.correct(images, predictions[-1]))
        return predictions

    def forward(self, images: Tensor) -> Prediction:
        """Return the prediction of the last pass over images [N, 3, input_px, input_px] in [-1, 1]."""
        return self.passes(images)[-1]

    def rows(self, images: Tensor) -> Tensor:
        """Return the ws [N, num_ws, w_dim] of images [N, 3, input_px, input_px]; UnsupportedError if there are none."""
        prediction = self(images)
        if "ws" not in prediction:
            raise UnsupportedError(f"this encoder predicts {', '.join(prediction)}, not ws: choose another one")
        return prediction["ws"]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Prediction:
        """Return the prediction of square RGB images of any size in [-1, 1], in eval mode and without gradients."""
        self.eval()
        return self(area_resize(images, self.input_px))

    def trained_state(self) -> dict[str, Tensor]:
        """Return the tensors of a weights file: everything that training changes, and a w_avg of its own.

        Encoders of other tools come with the w that their offsets were trained for; others have the generator's.
        """
        state = self.state_dict()
        if torch.equal(self.w_avg.cpu(), self._generator[0].w_avg.cpu()):
            del state["w_avg"]
        return state

    def fingerprint(self) -> str:
        """Return the sha256 of its architecture and its trained weights."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self.spec), sort_keys=True).encode())
        for name, value in sorted(self.trained_state().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path, note: str) -> None:
        """Write half-precision safetensors; equal encoders give equal bytes.

        Args:
            path: of the file.
            note: how the weights were made. It stands in the metadata beside the architecture and the generator's
                fingerprint.
        """
        state = {
            # Integers stay: float16 counts exactly up to 2048 only.
            name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
            for name, value in self.trained_state().items()
        }
        write_encoder(path, self.spec, state, self.generator_fingerprint, note)


def write_encoder(
    path: Path, spec: EncoderSpec, state: Mapping[str, Tensor | Joined], generator_fingerprint: str, note: str
) -> None:
    """Write an encoder's file, tensors as they are; the note says where they are from."""
    metadata = {
        "kind": "encoder",
        "encoder": json.dumps(dataclasses.asdict(spec), sort_keys=True),
        "generator": generator_fingerprint,
        "note": note,
    }
    write_tensors(path, state, metadata)

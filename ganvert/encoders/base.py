"""An encoder: a backbone, a neck and heads, as a line of ``params.yaml`` says; one look at a picture gives a code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.checkpoints.ganvert_file import pack
from ganvert.encoders.backbones import BACKBONES
from ganvert.encoders.heads import HEADS, Prediction
from ganvert.encoders.neck import FPN
from ganvert.generators.base import Generator
from ganvert.images import area_resize, as_rgb
from ganvert.spaces import check_space, make_space

__all__ = ["Encoder", "EncoderSpec"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What an encoder is made of; stands in params.yaml and in every weights file.

    Attributes:
        space: what its prediction is a code of: ``wplus``, ``f16/wplus``, ``pad/wplus``, ...
        backbone: name in ``ganvert.encoders.backbones.BACKBONES``.
        neck: ``fpn`` for a feature pyramid between backbone and heads.
        heads: names in ``ganvert.encoders.heads.HEADS``, each with its options.
        input_px: side of the pictures it looks at; None is the backbone's own.
        passes: how often it looks. Above 1 it sees the photograph beside the picture drawn so far, and corrects the
            rows of the last pass (ReStyle, Alaluf et al. 2021, arXiv 2104.02699, section 3).
    """

    space: str = "wplus"
    backbone: str
    neck: Literal["none", "fpn"] = "none"
    heads: dict[str, dict[str, Any]]
    input_px: int | None = None
    passes: int = 1

    def __post_init__(self) -> None:
        check_space(self.space)
        lookup(BACKBONES, self.backbone, "backbone")
        for name in self.heads:
            lookup(HEADS, name, "head")
        if not self.heads or self.passes < 1:
            raise ParamsError("an encoder needs a head, and passes of at least 1")


class Encoder(nn.Module):
    """Pictures to a prediction of a code."""

    w_avg: Tensor  # [w_dim]

    def __init__(self, spec: EncoderSpec, generator: Generator, folder: Path | None = None, seed: int = 0) -> None:
        """Make one with weights from `seed`.

        Args:
            spec: what it is made of.
            generator: decides the sizes; needed later only with several passes.
            folder: the asset folder, for backbones whose weights are an asset.
            seed: of the weights.

        Raises:
            ParamsError, UnsupportedError: a head's options are wrong, or the generator lacks what it predicts.
        """
        super().__init__()
        self.spec, self.space = spec, spec.space
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.generator_fingerprint = generator.fingerprint()
        self._generator = [generator]  # kept out of the module tree: its weights are not the encoder's
        kind = lookup(BACKBONES, spec.backbone, "backbone")
        self.input_px = spec.input_px or kind.default_px
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = kind(channels=3 if spec.passes == 1 else 6, px=self.input_px, folder=folder)
            self.neck = FPN(self.backbone.taps) if spec.neck == "fpn" else None
            taps = self.neck.taps if self.neck else self.backbone.taps
            self.heads = nn.ModuleDict()
            for name, options in sorted(spec.heads.items()):  # seeded weights must not depend on their order
                try:
                    self.heads[name] = lookup(HEADS, name, "head")(generator, taps, **options)
                except TypeError as error:
                    raise ParamsError(f"head {name}: {error}") from error
        self.register_buffer("w_avg", generator.w_avg.detach().clone())
        self.to(generator.w_avg.device)

    def at_step(self, step: int) -> None:
        """Tell heads that grow where training is."""
        for head in self.heads.values():
            head.at_step(step)  # type: ignore[operator]

    def look(self, images: Tensor) -> dict[int, Tensor]:
        """The backbone's feature maps of pictures [N, 3 or 6, input_px, input_px]."""
        return self.backbone(images)

    def say(self, taps: dict[int, Tensor]) -> Prediction:
        """What the heads make of feature maps; "ws" as offsets from w_avg (or from the last pass)."""
        seen = self.neck(taps) if self.neck else taps
        prediction: Prediction = {}
        for head in self.heads.values():
            prediction |= head(seen)
        return prediction

    def predict(self, taps: dict[int, Tensor]) -> Prediction:
        """The prediction of feature maps, for encoders of one pass."""
        prediction = self.say(taps)
        return {**prediction, "ws": prediction["ws"] + self.w_avg} if "ws" in prediction else prediction

    def correct(self, images: Tensor, before: Prediction) -> Prediction:
        """One more pass: photographs [N, 3, px, px] beside the picture of `before`, whose rows are corrected.

        Only the new offsets have gradients: earlier passes are not trained through (ReStyle, section 3).
        """
        # Drawn in full precision, whatever the encoder is trained in.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            drawn = area_resize(as_rgb(self.draw(before)).clamp(-1, 1), self.input_px)
        prediction = self.say(self.look(torch.cat([images, drawn], dim=1)))
        return {**prediction, "ws": prediction["ws"] + before["ws"].detach()}

    def mean(self, n: int) -> Prediction:
        """The mean code n times, where refinement starts."""
        return {"ws": self.w_avg.expand(n, self.num_ws, -1)}

    def draw(self, prediction: Prediction) -> Tensor:
        """The generator's pictures [N, C, resolution, resolution] of a prediction, in the encoder's own space."""
        space = make_space(self.space if set(prediction) != {"ws"} else "wplus", self._generator[0])
        n = len(next(iter(prediction.values())))
        return self._generator[0].synthesize(space.decode(space.adopt(prediction, [0] * n)))

    def passes(self, images: Tensor) -> list[Prediction]:
        """The prediction of every pass over pictures [N, 3, input_px, input_px]."""
        if self.spec.passes == 1:
            return [self.predict(self.look(images))]
        predictions = [self.mean(len(images))]
        for _ in range(self.spec.passes):
            predictions.append(self.correct(images, predictions[-1]))
        return predictions[1:]

    def forward(self, images: Tensor) -> Prediction:
        """The prediction of pictures [N, 3, input_px, input_px] in [-1, 1]."""
        return self.passes(images)[-1]

    def rows(self, images: Tensor) -> Tensor:
        """The ws [N, num_ws, w_dim] of pictures [N, 3, input_px, input_px]; UnsupportedError if it predicts none."""
        prediction = self(images)
        if "ws" not in prediction:
            raise UnsupportedError(f"this encoder predicts {', '.join(prediction)}, not ws: choose another one")
        return prediction["ws"]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Prediction:
        """The prediction of RGB pictures of any square size (smaller ones are enlarged), in eval mode."""
        self.eval()
        return self(area_resize(images, self.input_px))

    def trained_state(self) -> dict[str, Tensor]:
        """What a weights file holds: everything that training moves."""
        return {name: value for name, value in self.state_dict().items() if name != "w_avg"}

    def fingerprint(self) -> str:
        """sha256 of what it is made of and of its trained weights."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self.spec), sort_keys=True).encode())
        for name, value in sorted(self.trained_state().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path, note: str) -> None:
        """Half-precision safetensors that say what they are, which generator they belong to and how they were made.

        Equal encoders give equal bytes.
        """
        state = {
            name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
            for name, value in self.trained_state().items()
        }
        metadata = {
            "kind": "encoder",
            "encoder": json.dumps(dataclasses.asdict(self.spec), sort_keys=True),
            "generator": self.generator_fingerprint,
            "note": note,
        }
        with atomic_path(path) as temporary:
            temporary.write_bytes(pack(state, metadata))

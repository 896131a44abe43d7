"""One image's code with the generator that draws it, and the codes of several images."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import overload

import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators import tuned as tuning
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.tuned import TunedGenerators
from ganvert.inversion.contract import Inversion
from ganvert.spaces import Space, Variables, make_space, to_device

__all__ = ["Code", "Codes", "codes_of_inversion"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Code:
    """One image's code.

    Attributes:
        image_id: whose code it is.
        method: the preset that found it.
        bind: returns the latent space on the generator that draws the image; see :attr:`space`.
        variables: name to [1, *shape], on the generator's device.
        noise: optimised noise maps [1, 1, h, h], or empty for the generator's own.
        status: ``ok`` or ``diverged``.
        tuned: names the image's tuned generator; None if the generator is untuned. Codes of equal names share one.
    """

    image_id: str
    method: str
    bind: Callable[[], Space]
    variables: Variables
    noise: Sequence[Tensor] = ()
    status: str = "ok"
    tuned: Hashable | None = None

    @property
    def space(self) -> Space:
        """The latent space on the image's own generator.

        A tuned generator is a whole network, so it is made here, on request, and only the last one is kept: hold on
        to the space only while the image is drawn.
        """
        return self.bind()

    def synthesis_input(self, variables: Mapping[str, Tensor] | None = None) -> SynthesisInput:
        """Return what the generator draws: the code's own variables or other ones, with the code's noise maps."""
        return self.with_noise(self.space.decode(self.variables if variables is None else variables))

    def with_noise(self, synthesis_input: SynthesisInput) -> SynthesisInput:
        """Return `synthesis_input` with the code's own noise maps if it has any."""
        return dataclasses.replace(synthesis_input, noise=list(self.noise)) if self.noise else synthesis_input

    def fingerprint(self) -> str:
        """Return the sha256 of what draws the image: variables by their names, noise maps, and the generator's."""
        digest = hashlib.sha256(self.space.generator.fingerprint().encode())
        named = [*sorted(self.variables.items()), *((f"noise{i}", value) for i, value in enumerate(self.noise))]
        for name, value in named:
            digest.update(f"\n{name} {list(value.shape)}\n".encode() + value.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def draw(self) -> Tensor:
        """Draw the reconstruction [1, C, resolution, resolution], about [-1, 1]."""
        # Bound once: a tuned generator is a whole network.
        space = self.space
        return space.generator.synthesize(self.with_noise(space.decode(self.variables)))

    def check_shares_generator(self, other: Code) -> None:
        """Raise UnsupportedError if the two images have different tuned generators."""
        if self.tuned != other.tuned:
            raise UnsupportedError(
                f"{self.image_id} and {other.image_id} have generators of their own: there is none between them; "
                "use a method without tuning, or one that tunes one generator for all images"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Codes(Sequence[Code]):
    """Codes of several images in the order of their table; an item is one image's :class:`Code`.

    Attributes:
        image_ids: one per image.
        method: the preset that found them.
        space_name: the latent space, such as ``pad/wplus``.
        variables: name to [N, *shape], as stored.
        noise: optimised noise maps [N, 1, h, h], or empty for the generator's own.
        status: one per image.
        generators: the generator of every image; a tuned one is applied when a code is drawn or edited.
    """

    image_ids: list[str]
    method: str
    space_name: str
    variables: Variables
    noise: list[Tensor]
    status: list[str]
    generators: TunedGenerators

    def __len__(self) -> int:
        return len(self.image_ids)

    @overload
    def __getitem__(self, index: int) -> Code: ...
    @overload
    def __getitem__(self, index: slice) -> list[Code]: ...
    def __getitem__(self, index: int | slice) -> Code | list[Code]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]  # IndexError past the end, which is what ends an iteration
        device = self.generators.generator.w_avg.device
        return Code(
            image_id=self.image_ids[i],
            method=self.method,
            bind=partial(self._space, i),
            variables=to_device({name: value[i : i + 1] for name, value in self.variables.items()}, device),
            noise=[value[i : i + 1].to(device) for value in self.noise],
            status=self.status[i],
            tuned=self.generators.keys[i],
        )

    def draw(self) -> Tensor:
        """Draw the reconstructions [N, C, resolution, resolution], each with its image's own generator."""
        return torch.cat([code.draw() for code in self])

    def _space(self, index: int) -> Space:
        return make_space(self.space_name, self.generators.of(index))


def codes_of_inversion(inversion: Inversion, image_ids: Sequence[str], method: str, generator: Generator) -> Codes:
    """Return a fresh inversion as codes. They draw what codes from :func:`read_codes` draw, to the bit.

    Args:
        inversion: N images.
        image_ids: N.
        method: the preset that found it.
        generator: the untuned generator it was found on.
    """
    weights = inversion.weights
    # Rounded to float16 as in the file, so that a fresh picture and one from the table do not differ. Differences are
    # rounded, not weights: a difference is small beside its weight, and so is the error.
    keys = [first if weights[first] else None for first in tuning.first_of_each(weights)]
    return Codes(
        image_ids=list(image_ids),
        method=method,
        space_name=inversion.space,
        variables=inversion.variables,
        noise=inversion.noise,
        status=inversion.status,
        generators=TunedGenerators(
            generator, keys or [None] * len(image_ids), lambda first: tuning.compact(weights[first])
        ),
    )

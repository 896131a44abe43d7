"""Drawing edits."""

from __future__ import annotations

import torch
from PIL import Image

from ganvert.editing.contract import Edit, EditInputs
from ganvert.images import to_pil

__all__ = ["draw_edit"]


@torch.no_grad()
def draw_edit(edit: Edit, inputs: EditInputs, amount: float) -> Image.Image:
    """Draw one image's edit with the image's own generator; amount 0 is its reconstruction.

    Raises:
        ParamsError, UnsupportedError: as :meth:`Edit.check` and :meth:`Edit.apply`, before anything is drawn.
    """
    edit.check(inputs, amount)
    synthesis_input = edit.apply(inputs, amount)
    # The image's own generator: where it was tuned, the code means this picture to no other.
    return to_pil(inputs.code.space.generator.synthesize(synthesis_input))[0]

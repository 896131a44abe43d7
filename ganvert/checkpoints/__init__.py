"""Checkpoints of every format, read without executing anything in them: one module per format.

The package may import `networks` and what lies below.
"""

from __future__ import annotations

from ganvert.checkpoints import (
    alae,
    ganvert_file,
    genforce_stylegan1,
    genforce_stylegan2,
    idinvert,
    nvlabs,
    nvlabs_discriminator,
    nvlabs_state,
    nvlabs_stylegan3,
    rosinality,
    rosinality_discriminator,
    tensorflow_stylegan1,
    tensorflow_stylegan2,
)
from ganvert.checkpoints.base import Checkpoint, Content, Format, Instance, Refused

__all__ = ["FORMATS", "REFUSED", "Checkpoint", "Content", "Format", "Instance", "Refused"]

#: name -> files that are known and not read, and why; they are refused before a format takes them for its own
REFUSED: dict[str, Refused] = {
    "alae": Refused(alae.matches, alae.REASON),
}

#: name -> format; the first that matches a file's content reads it
FORMATS: dict[str, Format] = {
    "ganvert": Format(ganvert_file.matches, ganvert_file.read),
    "nvlabs_stylegan2": Format(nvlabs.matches, nvlabs.read, nvlabs_discriminator.read),
    "nvlabs_stylegan3": Format(nvlabs_stylegan3.matches, nvlabs_stylegan3.read, nvlabs_discriminator.read),
    "tensorflow_stylegan1": Format(tensorflow_stylegan1.matches, tensorflow_stylegan1.read),
    "tensorflow_stylegan2": Format(tensorflow_stylegan2.matches, tensorflow_stylegan2.read),
    "nvlabs_state": Format(nvlabs_state.matches, nvlabs_state.read),
    "rosinality": Format(rosinality.matches, rosinality.read, rosinality_discriminator.read),
    "genforce_stylegan1": Format(genforce_stylegan1.matches, genforce_stylegan1.read),
    "genforce_stylegan2": Format(genforce_stylegan2.matches, genforce_stylegan2.read),
    "idinvert": Format(idinvert.matches, idinvert.read),
}

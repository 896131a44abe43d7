"""Chips: dlib's own similarity and sampling, the ArcFace template, gradients."""

from __future__ import annotations

import dlib
import numpy as np
import torch
from PIL import Image
from skimage import data

from ganvert.faces.chips import ARCFACE, DLIB, DLIB_POINTS_FFHQ, cut_chips, place_chip, place_points
from ganvert.faces.detect import as_dlib
from ganvert.images import from_pil


def landmarks(points: np.ndarray) -> np.ndarray:
    """68 points of which those of dlib's template are given, in its order."""
    everything = np.full((68, 2), points.mean(0))
    everything[[45, 42, 36, 39, 33]] = points
    return everything


def test_chips_equal_dlibs() -> None:
    """On a picture that dlib samples bilinearly too; it then cuts the fraction of a grey level off."""
    picture = Image.fromarray(data.astronaut()[:256, 96:352])
    for points in (
        [(155, 105), (135, 107), (92, 104), (112, 106), (124, 134)],
        [(150, 120), (136, 112), (100, 92), (118, 100), (112, 136)],  # rolled
        [(240, 60), (200, 62), (120, 58), (160, 62), (178, 140)],  # reaches out of the picture: black there
    ):
        face = landmarks(np.array(points, dtype=float))
        theirs = dlib.get_face_chip(np.asarray(picture), as_dlib(face), 150, 0.25).astype(float)
        ours = cut_chips(from_pil([picture]), torch.from_numpy(place_chip(face, DLIB))[None], 150)
        difference = ours[0].add(1).mul(127.5).permute(1, 2, 0).numpy() - theirs
        inside = theirs > 0  # dlib leaves a border of a pixel black, where bilinear sampling fades
        assert np.abs(difference[inside] - 0.5).max() < 0.6


def test_the_template_fits_itself() -> None:
    """dlib lays a square of side 2 * 150 - 1 around the image of (75, 75), over 150 pixels that are 149 apart."""
    dlibs, arcfaces = (place_points(2 * np.array(template.points) + 5, template) for template in (DLIB, ARCFACE))
    side = 2 * 150 - 1
    corner = 2 * 75 + 5 - side / 2
    np.testing.assert_allclose(dlibs, [[side / 149, 0, corner], [0, side / 149, corner]], atol=1e-9)
    np.testing.assert_allclose(arcfaces, [[2, 0, 5], [0, 2, 5]], atol=1e-9)


def test_large_pictures_are_averaged() -> None:
    """A fine checkerboard is grey in a chip, whatever pixels the grid would hit; a ramp keeps its values."""
    y, x = torch.meshgrid(torch.arange(1024), torch.arange(1024), indexing="ij")
    board = ((x + y) % 2 * 2 - 1).float().expand(1, 3, -1, -1)
    place = torch.from_numpy(place_points(np.array(DLIB_POINTS_FFHQ) * 1024 - 0.5, DLIB))[None]
    assert cut_chips(board, place, 150).abs().mean() < 0.15
    ramp = (x / 512 - 1).float().expand(1, 3, -1, -1)
    line = torch.arange(150, dtype=torch.float64)
    want = (place[0, 0, 0] * line + place[0, 0, 1] * 75 + place[0, 0, 2]) / 512 - 1
    torch.testing.assert_close(cut_chips(ramp, place, 150)[0, 0, 75].double(), want, rtol=0, atol=1e-4)


def test_gradient() -> None:
    images = torch.rand(2, 3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    places = torch.tensor([[[1.3, 0.2, -1.0], [-0.2, 1.3, 2.0]], [[0.9, 0.0, 2.0], [0.0, 0.9, 1.0]]]).double()
    assert torch.autograd.gradcheck(lambda x: cut_chips(x, places, 6), images.requires_grad_())

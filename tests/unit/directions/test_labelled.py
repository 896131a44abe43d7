"""Directions from rated photographs: a planted trait comes back in every space, and bad tables are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ganvert.base.errors import InputError, ParamsError, UnknownNameError, UnsupportedError
from ganvert.codes import Codes, codes_of_inversion
from ganvert.directions.labelled import LabelledOptions, find_labelled, read_ratings
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.contract import Inversion
from ganvert.spaces import make_space

COUNT = 200


def codes_in(space: str, generator: MobileStyleGAN, status: str = "ok") -> Codes:
    variables = make_space(space, generator).from_random(range(COUNT))
    zeros = torch.zeros(COUNT, 1)
    inversion = Inversion(space, variables, [], zeros, zeros[:, 0], [status, *["ok"] * (COUNT - 1)], [""] * COUNT)
    return codes_of_inversion(inversion, [f"{i:04}-0" for i in range(COUNT)], "mine", generator)


def rated(
    codes: Codes, variable: str, rows: slice, noise: float = 0.2
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """Ratings of two traits along planted unit vectors, the second of which is mixed into the first."""
    rng = np.random.default_rng(0)
    values = codes.variables[variable].double().numpy()
    values = values[:, rows].mean(axis=1) if values.ndim == 3 else values
    normals = rng.normal(size=(2, values.shape[1]))
    normals[0] += normals[1]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    scores = (values - values.mean(axis=0)) @ normals.T
    scores += noise * scores.std(axis=0) * rng.normal(size=scores.shape)
    traits = {
        name: dict(zip(codes.image_ids, map(float, scores[:, k]), strict=True))
        for k, name in enumerate(("kind", "old"))
    }
    return traits, normals


@pytest.mark.parametrize(
    ("space", "variable", "where"),
    [("w", "w", "w"), ("wplus", "ws", "w"), ("z", "z", "z"), ("zplus", "z", "z"), ("pad/wplus", "ws", "w")],
)
def test_a_planted_trait_comes_back(space: str, variable: str, where: str, tiny_generator: MobileStyleGAN) -> None:
    codes = codes_in(space, tiny_generator)
    ratings, normals = rated(codes, variable, slice(2, 6) if space != "z" else slice(None))
    found = find_labelled(codes, ratings, LabelledOptions(trait="kind", first_row=2, last_row=6))
    assert (found.space, found.method, found.first_row, found.last_row) == (where, "labelled", 2, 6)
    assert found.vector @ normals[0] > 0.9
    assert found.quality["validation_accuracy"] > 0.85 and found.quality["correlation"] > 0.85
    assert found.quality["halves_cosine"] > 0.8 and found.quality["photographs"] == COUNT


def test_a_condition_is_left_alone(tiny_generator: MobileStyleGAN) -> None:
    codes = codes_in("w", tiny_generator)
    ratings, _ = rated(codes, "w", slice(None), noise=0.0)
    plain = find_labelled(codes, ratings, LabelledOptions(trait="kind", name="mine"))
    other = find_labelled(codes, ratings, LabelledOptions(trait="old"))
    held = find_labelled(codes, ratings, LabelledOptions(trait="kind", condition_on=("old",)))
    assert plain.name == "mine" and not plain.quality["leak"]
    assert abs(held.vector @ other.vector) < 1e-12 < abs(plain.vector @ other.vector)
    assert set(held.quality["leak"]) == {"old"}
    with pytest.raises(UnknownNameError, match="unknown trait 'kin'; known: kind, old"):
        find_labelled(codes, ratings, LabelledOptions(trait="kin"))
    with pytest.raises(ParamsError, match="itself"):
        LabelledOptions(trait="kind", condition_on=("kind",))


def test_a_vector_for_each_row(tiny_generator: MobileStyleGAN) -> None:
    """Codes whose rows differ and a trait of one row: the vector of that row is the long one."""
    codes = codes_in("wplus", tiny_generator)
    codes.variables["ws"] += 0.5 * torch.randn(codes.variables["ws"].shape, generator=torch.Generator().manual_seed(1))
    ratings, _ = rated(codes, "ws", slice(3, 4))
    found = find_labelled(codes, ratings, LabelledOptions(trait="kind", first_row=2, vectors="rows"))
    assert found.space == "wplus" and found.vector.shape == (tiny_generator.num_ws - 2, tiny_generator.w_dim)
    assert np.linalg.norm(found.vector) == pytest.approx(1)
    assert np.linalg.norm(found.vector, axis=1).argmax() == 1


def test_neither_the_order_of_the_table_nor_names_matter(tiny_generator: MobileStyleGAN) -> None:
    codes = codes_in("w", tiny_generator, status="diverged")
    ratings, _ = rated(codes, "w", slice(None))
    wanted = LabelledOptions(trait="kind")
    found = find_labelled(codes, ratings, wanted)
    assert found.quality["photographs"] == COUNT - 1
    back = codes_in("w", tiny_generator)
    back.variables["w"] = back.variables["w"].flip(0)
    back.image_ids.reverse()
    back.status[-1] = "diverged"
    assert np.array_equal(find_labelled(back, ratings, wanted).vector, found.vector)
    # Rated under the file's name, with its ending.
    names = {image: f"person {i}" for i, image in enumerate(codes.image_ids)}
    named = {"kind": {f"{names[image]}.jpg": value for image, value in ratings["kind"].items()}}
    assert np.array_equal(find_labelled(codes, named, wanted, names).vector, found.vector)
    with pytest.raises(InputError, match="no rated image has a code"):
        find_labelled(codes, named, wanted)


def test_names_with_points_are_not_taken_for_each_other(tiny_generator: MobileStyleGAN) -> None:
    """me.150 has no rating, and must not get that of another photograph whose name begins like its own."""
    codes = codes_in("w", tiny_generator)
    ratings, _ = rated(codes, "w", slice(None))
    names = {image: f"me.{i}" for i, image in enumerate(codes.image_ids)}
    some = {names[image]: value for image, value in list(ratings["kind"].items())[:150]}
    found = find_labelled(codes, {"kind": some}, LabelledOptions(trait="kind"), names)
    assert found.quality["photographs"] == 150
    twice = {**some, "x/me.3.JPG": 1.0}  # the exact name counts
    assert np.array_equal(
        find_labelled(codes, {"kind": twice}, LabelledOptions(trait="kind"), names).vector, found.vector
    )
    both = {**some, "me.150.jpg": 1.0, "me.150.png": 2.0}
    with pytest.raises(InputError, match=r"got me.150.jpg and me.150.png of me.150"):
        find_labelled(codes, {"kind": both}, LabelledOptions(trait="kind"), names)


def test_codes_without_rows_and_too_few_ratings_are_refused(tiny_generator: MobileStyleGAN) -> None:
    codes = codes_in("w", tiny_generator)
    few = {"kind": {image: float(i) for i, image in enumerate(codes.image_ids[:12])}}
    with pytest.raises(ParamsError, match=f"kind: 12 of {COUNT} have a score"):
        find_labelled(codes, few, LabelledOptions(trait="kind"))
    with pytest.raises(UnsupportedError, match="no ws"):
        ratings, _ = rated(codes, "w", slice(None))
        find_labelled(codes_in("s", tiny_generator), ratings, LabelledOptions(trait="kind"))


def test_several_ratings_of_an_image_are_averaged(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("\ufeffrater,image,trait,value\n1,a.jpg,kind,2\n2,a.jpg,kind,5\n1,b,kind,\n2,b,old,1e1\n", "utf-8")
    assert read_ratings(file) == {"kind": {"a.jpg": 3.5}, "old": {"b": 10.0}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,value\na,1\n", "trait is missing"),
        ("image,trait,value\na,kind,much\n", "line 2: wanted a finite number"),
        ("image,trait,value\na,kind,nan\n", "line 2: wanted a finite number"),
        ("", "wanted the columns image, trait, value"),
    ],
)
def test_a_table_of_ratings_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_ratings(tmp_path / "ratings.csv")
    with pytest.raises(InputError, match="no such table"):
        read_ratings(tmp_path / "other.csv")
    (tmp_path / "ratings.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_ratings(tmp_path / "ratings.csv")

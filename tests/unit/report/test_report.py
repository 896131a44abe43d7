"""The report shows all that is in the tables, escapes it, needs nothing from outside and never changes by itself."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from ganvert import tables
from ganvert.base.errors import ParamsError, TableError
from ganvert.images import to_png
from ganvert.report import ReportInputs, ReportOptions, build_report, plots
from ganvert.report.edit_curves import change_of
from ganvert.report.labels import metric_labels
from ganvert.report.run import Run
from ganvert.report.views.edits import edits
from ganvert.report.views.summary import _best
from ganvert.scoring import statistics

HOSTILE = 'data/photos/<script>alert("x")</script> & $\\frac{1}{$ http.jpg'
METHODS = ("mean", "wplus<b>")
AMOUNTS = (-1.0, 0.0, 1.0)
DIRECTIONS = ("smile", "older_age")
OPTIONS = ReportOptions(title="A <title>", image_px=32, photo_px=48, jpeg_quality=60)
VOID = {"meta", "img", "br", "link", "input", "hr"}


def noise(seed: int, width: int = 40, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def make(folder: Path, **changes: Any) -> ReportInputs:
    """Three photographs (one without a face), two methods of which one fails on the second face, two edits."""

    def table(name: str, schema: tables.Table, rows: list[dict[str, Any]]) -> Any:
        path = folder / f"{name}.parquet"
        tables.write(path, schema, rows)
        return tables.read(path, schema)

    photo = {"width": 60, "height": 40, "exif_orientation": 1, "mode": "RGB", "faces": 1, "detector": "hog"}
    photo |= {"status": "ok", "reason": ""}
    photos = [
        photo | {"photo_id": "a" * 64, "path": "data/photos/one.jpg"},
        photo | {"photo_id": "b" * 64, "path": HOSTILE},
        photo | {"photo_id": "c" * 64, "path": "data/photos/none.jpg", "status": "no_face", "reason": "no <i>face</i>"},
    ]
    faces = ["a" * 16 + "-0", "b" * 16 + "-0"]
    aligned = [
        {"image_id": face, "photo_id": face[0] * 64, "path": "x", "face": 0, "recipe": "ffhq", "resolution": 40,
         "quad": np.array([10, 5, 10, 35, 40, 35, 40, 5.0]), "landmarks": None, "crop": to_png(noise(i))}
        for i, face in enumerate(faces)
    ]  # fmt: skip
    codes, reconstructions, scores, edits, edit_scores = [], [], [], [], []
    for m, method in enumerate(METHODS):
        rows = []
        for i, face in enumerate(faces):
            bad = m == 1 and i == 1
            rows.append(
                {"image_id": face, "method": method, "space": "w", "status": "diverged" if bad else "ok",
                 "reason": "not finite at <step 3>" if bad else "", "steps": 4 * m, "best_step": 4 * m, "seed": 1,
                 "generator": "0123456789abcdef", "encoder": "", "config": "", "tuned": None,
                 "w": np.zeros(2, np.float32), "trace": np.array([0.9, 0.5, np.nan, 0.3][: 1 + 3 * m], np.float32)}
            )  # fmt: skip
            for metric, value in (("lpips_vgg_256", 0.3 - 0.1 * m + 0.02 * i), ("psnr_256", 17.0 + m), ("own", 1.0)):
                status = "not_detected" if bad else "ok"
                scores.append({"image_id": face, "method": method, "metric": metric, "status": status,
                               "value": None if bad else value})  # fmt: skip
        codes.append(table(f"codes{m}", tables.codes_table({"w": (2,)}), rows))
        kept = [
            {"image_id": row["image_id"], "method": method, "png": to_png(noise(7))}
            for row in rows
            if row["status"] == "ok"
        ]
        reconstructions.append(table(f"reconstructions{m}", tables.RECONSTRUCTIONS, kept))
    for face in faces:
        for direction in DIRECTIONS:
            for amount in AMOUNTS:
                key = {"image_id": face, "method": "mean", "edit": direction, "direction": direction, "reference": "",
                       "amount": amount}  # fmt: skip
                edits.append(
                    key
                    | {
                        "kind": "shift",
                        "percentile": None,
                        "sigmas": 9.0 if amount == 1.0 else None,
                        "crop": to_png(noise(3)),
                        "pasted": to_png(noise(4, 60, 40)),
                    }
                    | {"region": "square", "reason": ""}
                )
                missing = amount == 1.0 and face == faces[0]
                for metric, value in (("identity_dlib", 0.2 * abs(amount)), ("age", 30 + amount), ("smile", amount)):
                    edit_scores.append(key | {"metric": metric, "value": None if missing else value,
                                              "status": "not_detected" if missing else "ok"})  # fmt: skip
    direction = {"space": "w", "vector": np.ones(2, np.float32), "unit": 1.5, "first_row": 0, "last_row": 16}
    directions = [
        direction | {"name": "smile", "method": "interfacegan", "quality": '{"accuracy": 0.9125, "cos": {"age": 0.1}}'},
        direction | {"name": "smile_free", "method": "interfacegan", "quality": '{"stands_in": "smile"}'},
        direction | {"name": "component_0", "method": "ganspace", "quality": '{"variance": 0.25}'},
    ]
    inputs = ReportInputs(
        photos=table("photos", tables.PHOTOS, photos),
        aligned=table("aligned", tables.ALIGNED, aligned),
        codes=codes,
        reconstructions=reconstructions,
        edits=table("edits", tables.EDITS, edits),
        scores=table("scores", tables.SCORES, scores),
        edit_scores=table("edit_scores", tables.EDIT_SCORES, edit_scores),
        directions=table("directions", tables.DIRECTIONS, directions),
        originals={"a" * 64: noise(9, 60, 40)},
        samples=noise(10),
        encoders={"wplus": (noise(11), noise(12))},
    )
    return dataclasses.replace(inputs, **changes)


class Balanced(HTMLParser):
    """Collects tags, attributes and visible text; fails on a tag that closes another than the open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return make(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(inputs: ReportInputs) -> str:
    return build_report(inputs, OPTIONS)


@pytest.fixture(scope="module")
def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_every_picture_is_there(parsed: Balanced) -> None:
    alts = [attributes["alt"] for tag, attributes in parsed.tags if tag == "img"]
    one, two = "data/photos/one.jpg", HOSTILE
    assert f"photograph {one}" in alts and f"photograph {two}" not in alts
    for name in (one, two):
        assert f"aligned crop of {name}" in alts
        assert f"reconstruction of {name} by mean" in alts
        for direction in DIRECTIONS:
            for amount in AMOUNTS:
                assert alts.count(f"{direction} {amount:+g} of {name}") == 2  # crop and pasted back
    assert f"reconstruction of {one} by wplus<b>" in alts and f"reconstruction of {two} by wplus<b>" not in alts
    assert "contact sheet of generator samples" in alts and "loss of the encoder wplus against training step" in alts


def test_what_is_missing_is_said_with_its_reason(parsed: Balanced) -> None:
    text = " ".join(" ".join(parsed.text).split())
    for words in ("no <i>face</i>", "not finite at <step 3>", "diverged", "not detected", "no reconstruction",
                  "The photograph is no longer at", "older_age at 1", "data/photos/none.jpg",
                  "no face is found any more", "the code lies +9.0 standard deviations from the samples"):  # fmt: skip
        assert words in text, words


def test_what_was_not_asked_for_is_no_failure(inputs: ReportInputs) -> None:
    second = "b" * 16 + "-0"
    asked = [row for row in inputs.scores.to_pylist() if (row["method"], row["image_id"]) != (METHODS[1], second)]
    page = build_report(dataclasses.replace(inputs, scores=inputs.scores.from_pylist(asked)), OPTIONS)
    assert "no reconstruction" not in page and page.count("not asked for: ") == 1


@pytest.mark.parametrize(("metric", "best"), [("lpips_vgg_256", "b"), ("psnr_256", "a"), ("own", None)])
def test_the_best_method_is_one_that_measured_as_many_faces_as_any(metric: str, best: str | None) -> None:
    values = {"a": [0.3, 0.5], "b": [0.2, 0.4], "one_face": [0.1]}
    summaries = {(method, metric): statistics.summarise(numbers) for method, numbers in values.items()}
    (label,) = metric_labels([{"metric": metric, "value": 0.1}])
    expected = None if best is None else summaries[best, metric]
    assert _best(label, summaries) is expected
    del summaries["b", metric]
    assert _best(label, summaries) is None  # nothing to compare it with


def test_figures_are_those_of_the_tables(page: str) -> None:
    expected = statistics.summarise([0.3, 0.32])
    assert f"<b>{expected.mean:.3f}</b><small>{expected.low:.3f} to {expected.high:.3f}</small>" in page
    assert '<td class="number"><b>0.200</b>' in page and "1 of 2 faces" in page
    assert '<td class="number best">' not in page  # the other method was measured on both faces
    assert "0.9125" in page and "cos age" in page and "0123456789ab<" in page
    assert "smile_free" not in page  # a direction without its conditions stands in for it


def test_texts_of_tables_are_escaped(page: str, parsed: Balanced) -> None:
    assert HOSTILE not in page and html.escape(HOSTILE, quote=False).split("alert")[0] in page
    tags = [tag for tag, _ in parsed.tags]
    assert not {"i", "step", "iframe", "object"} & set(tags)
    assert tags.count("script") == 1  # the page's own
    assert "A &lt;title&gt;" in page


def test_nothing_comes_from_outside(page: str, parsed: Balanced) -> None:
    for tag, attributes in parsed.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                assert value and value.startswith(("data:image/", "#")), (tag, name, value)
            assert not name.startswith("on")
    assert not re.search(r"url\((?!#)|@import", page)


def test_the_browser_runs_the_script_that_enlarges_pictures_and_no_other(page: str, parsed: Balanced) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [attributes["content"] for _, attributes in parsed.tags if "http-equiv" in attributes]
    assert f"script-src 'sha256-{digest}'" in str(policy) and "default-src 'none'" in str(policy)
    (dialog,) = [attributes for tag, attributes in parsed.tags if tag == "dialog"]
    assert f'getElementById("{dialog["id"]}")' in script


def test_ids_are_unique_and_every_link_has_its_target(parsed: Balanced) -> None:
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {
        value[1:]
        for _, attributes in parsed.tags
        for name, value in attributes.items()
        if name.endswith("href") and value
    }
    assert links <= set(ids)


@pytest.mark.slow
def test_same_inputs_give_the_same_bytes(page: str, inputs: ReportInputs) -> None:
    assert build_report(inputs, OPTIONS) == page


def test_pictures_are_no_larger_than_asked(parsed: Balanced) -> None:
    images = [attributes for tag, attributes in parsed.tags if tag == "img" and "src" in attributes]
    widths = [int(str(attributes["width"])) for attributes in images]
    assert max(widths) <= OPTIONS.photo_px and min(widths) > 0


def test_a_run_in_which_nothing_worked_still_has_a_report(inputs: ReportInputs) -> None:
    empty = dataclasses.replace(
        inputs,
        photos=inputs.photos.slice(2),
        codes=[],
        reconstructions=[],
        samples=None,
        encoders={},
        **{
            name: getattr(inputs, name).slice(0, 0)
            for name in ("aligned", "edits", "scores", "edit_scores", "directions")
        },
    )
    page = build_report(empty, OPTIONS)
    Balanced().feed(page)
    assert "No face was aligned." in page and "no &lt;i&gt;face&lt;/i&gt;" in page and "There are no scores" in page


def test_tables_of_different_runs_are_refused(inputs: ReportInputs) -> None:
    with pytest.raises(TableError, match="different runs"):
        build_report(dataclasses.replace(inputs, aligned=inputs.aligned.slice(1)), OPTIONS)


@pytest.mark.parametrize("change", [{"image_px": 0}, {"photo_px": 10**6}, {"jpeg_quality": 100}])
def test_options_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ParamsError, match=next(iter(change))):
        ReportOptions(**change)


def test_mean_line_of_an_edit_plot_leaves_out_what_was_not_measured() -> None:
    lines = {"a": {-1.0: 1.0, 1.0: 3.0}, "b": {-1.0: 2.0}}
    axes = plots.edit_curve_figure({"smile": lines}, "value").axes[0]
    assert np.allclose(np.asarray(axes.lines[-1].get_ydata(), float), [1.5, 3.0])


def test_mean_line_of_traces_is_the_geometric_mean() -> None:
    axes = plots.traces_figure({"adam": {"a": np.array([1.0, 4.0]), "b": np.array([4.0, np.inf])}}).axes[0]
    assert np.allclose(np.asarray(axes.lines[-1].get_ydata(), float), [2.0, 4.0])


def test_a_short_training_is_drawn_from_zero_without_a_trend() -> None:
    """Eight batches: single losses differ by tens of per cent, which is no divergence."""
    losses = [0.31, 0.28, 0.36, 0.27, 0.29, 0.26, 0.30, 0.36]
    records = [{"step": 100000.0 + i, "latent": loss, "signed": loss - 0.3} for i, loss in enumerate(losses)]
    latent, signed = plots.losses_figure(records).axes[:2]
    assert latent.get_ylim()[0] == 0 and signed.get_ylim()[0] < 0
    dots, mean = latent.lines
    assert dots.get_linestyle() == "None"
    assert np.allclose(np.asarray(mean.get_ydata(), float), np.mean(losses))
    (line,) = plots.losses_figure(records, batches=False).axes[0].lines
    assert np.allclose(np.asarray(line.get_ydata(), float), losses)
    long = plots.losses_figure([{"step": i, "a": float(i)} for i in range(100)]).axes[0].lines[1]
    assert np.allclose(np.asarray(long.get_ydata(), float), np.arange(4.5, 95))  # means of ten


def unscored_zero(inputs: ReportInputs) -> ReportInputs:
    """The same run with no edit of amount 0: its table of edits lacks those rows, its scores have them."""
    edits = inputs.edits.filter(pc.not_equal(inputs.edits.column("amount"), 0))
    return dataclasses.replace(inputs, edits=edits)


def test_strips_hold_the_unedited_picture_in_its_place(inputs: ReportInputs) -> None:
    run = Run.of(unscored_zero(inputs), OPTIONS)
    face, other = inputs.aligned.column("image_id").to_pylist()
    (reconstruction,) = (row["png"] for row in inputs.reconstructions[0].to_pylist() if row["image_id"] == face)
    cards = edits(run).edits
    assert [card.title for card in cards] == list(DIRECTIONS)
    for card in cards:
        first, second = card.faces
        assert (first.name, second.name) == (run.names[face], run.names[other])
        assert [cell.amount for cell in first.crops] == [-1, 0, 1]
        assert first.crops[1].picture == run.image(reconstruction)
        assert dict(first.crops[1].figures)["Identity dlib"] == "0.000"
        assert [cell.amount for cell in first.pasted] == [-1, 0, 1]
        assert first.pasted[1].picture == run.photograph(inputs.originals["a" * 64])
        assert [cell.amount for cell in second.pasted] == [-1, 1]  # its photograph is gone


def test_pasted_pictures_warn_of_ghosts(inputs: ReportInputs, page: str) -> None:
    face = edits(Run.of(inputs, OPTIONS)).edits[0].faces[0]
    assert "border" in face.warning and "identity" not in face.warning  # noise against other noise, no identity
    assert face.warning in page
    crops = {row["image_id"]: row["crop"] for row in inputs.aligned.to_pylist()}
    table = inputs.reconstructions[0]
    exact = pa.array([crops[name] for name in table.column("image_id").to_pylist()], table.schema.field("png").type)
    good = table.set_column(table.column_names.index("png"), table.schema.field("png"), exact)
    run = Run.of(dataclasses.replace(inputs, reconstructions=[good]), OPTIONS)
    assert {face.warning for card in edits(run).edits for face in card.faces} == {""}


def test_an_edit_is_judged_by_the_score_that_its_direction_was_fitted_on(inputs: ReportInputs, page: str) -> None:
    """`smile` follows the amount from -1 to 1 in every picture, `age` too; the first face's +1 was not measured."""
    smile, age = edits(Run.of(inputs, OPTIONS)).edits
    assert (smile.attribute, age.attribute) == ("smile", "age")
    assert (smile.pictures, smile.failed) == (4, 2)  # the codes of amount 1 are too far away
    assert page.count('<figure class="bad">') == 4 and "2 of them failed a check" in page
    assert len(smile.panels) == 2 and "age against the strength of older_age" in page
    rows = inputs.directions.to_pylist()
    rows[0]["quality"] = '{"score": "age", "change_per_unit": 9.0}'  # the pictures' age moves by 1 alone
    fitted = dataclasses.replace(inputs, directions=pa.Table.from_pylist(rows, inputs.directions.schema))
    smile, _ = edits(Run.of(fitted, OPTIONS)).edits
    assert (smile.attribute, smile.failed) == ("age", 4)
    assert smile.faces[1].crops[0].failures == ("age did not follow: 30 became 29",)


@pytest.mark.parametrize(("space", "expected"), [("f16/zplus", "z"), ("pad/wplus", "w"), ("s", "w")])
def test_an_edit_is_judged_by_the_direction_that_moves_its_codes(
    inputs: ReportInputs, space: str, expected: str
) -> None:
    rows = inputs.directions.to_pylist()
    rows.insert(0, {**rows[0], "space": "z", "last_row": 4, "quality": '{"score": "age", "change_per_unit": 9.0}'})
    rows.insert(0, {**rows[1], "space": "s", "quality": "{}"})
    codes = [pa.Table.from_pylist([{**row, "space": space} for row in part.to_pylist()], part.schema)
             for part in inputs.codes]  # fmt: skip
    directions = pa.Table.from_pylist(rows, inputs.directions.schema)
    smile, _ = edits(Run.of(dataclasses.replace(inputs, codes=codes, directions=directions), OPTIONS)).edits
    assert smile.direction is not None and smile.direction["space"] == expected
    assert (smile.attribute, smile.failed) == (("age", 4) if expected == "z" else ("smile", 2))


def test_changes_are_from_the_unedited_reconstruction_alone() -> None:
    """Not from the amount nearest zero, which is no origin."""
    assert change_of({-3.0: 0.1, 0.0: 0.5, 1.5: 0.75}) == {-3.0: -0.4, 0.0: 0.0, 1.5: 0.25}
    assert change_of({-1.5: 0.25, 1.5: 0.75}) == {}


def test_png_plots_have_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plots.save_png(plots.traces_figure({"$x": {"i": np.array([1.0, 0.5])}, "y": {}}), tmp_path / name)
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes() and Image.open(io.BytesIO(first)).width > 100

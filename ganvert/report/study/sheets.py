"""The tables of the page as text, which it shows and which are written as CSV and LaTeX too."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ganvert.base.preset_files import METHODS, Presets
from ganvert.report.labels import decimals_for, metric_label
from ganvert.report.study.inputs import Row, StudyTables
from ganvert.study.comparison import SIGNIFICANT
from ganvert.study.published import Printed, presets_of, published
from ganvert.study.sections.strength import AT_CHANGE
from ganvert.study.tabulate import higher_is_better, nearest

__all__ = ["Sheet", "sheets_of"]

#: Metrics that say that something is missing.
_NO_NUMBERS = ("code", "picture", "direction")
#: Sections of pictures that are drawn from codes of two photographs: title and note of their table.
_PICTURES = (
    (
        "in_domain",
        "Pictures between, across and beyond photographs",
        "interpolation: the code on the way to the partner's, the next photograph. diffusion: the middle of the "
        "photograph on its partner, inverted. Others: the code moved along a direction. identity compares with the "
        "photograph's unedited reconstruction, identity photo with the photograph, partner with those of the partner. "
        "face: share of pictures on which one is found. moved: change of the direction's own score, the way it was "
        "asked to. frechet: Fréchet distance on VGG16 (not FID) of the pictures of all photographs to the generator's "
        "samples, by the jackknife, which takes out a part of what small sets have too much: compare methods of "
        "equally many photographs.",
    ),
    (
        "padding",
        "Parts of a code on the way to another photograph's",
        "padding: padding or feature map alone; rows: rows of ws alone; both: the whole code. At 1 a part is the "
        "partner's: face blending. pose: degrees; colour: CIELAB of the face's middle. All compare with the "
        "photograph's own unedited reconstruction, identity photo with the photograph, partner with the partner's.",
    ),
)
_ARROWS = {True: " ↑", False: " ↓", None: ""}


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        name: of its files.
        section: under which the page shows it.
        title: above it.
        note: below it.
        header: of the columns; the first names the rows.
        rows: cells; a line break separates a mean from its interval.
    """

    name: str
    section: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sheets_of(study: StudyTables) -> list[Sheet]:
    """Return all tables of a page in order; those without rows are left out."""
    made = [_reconstruction(study), _comparisons(study), _orders(study)]
    made += [_printed(study, name, table) for name, table in published().tables.items()]
    made += [_strength(study), _at_change(study), _out_of_range(study)]
    made += [_of_pictures(study, section, title, note) for section, title, note in _PICTURES]
    made.append(_consistency(study))
    made += [_coverage(study), _missing(study), _photographs(study)]
    return [sheet for sheet in made if sheet.rows]


def _reconstruction(study: StudyTables) -> Sheet:
    summary = study.summary_of("reconstruction")
    metrics = [name for name in dict.fromkeys(key[3] for key in summary) if name != "code"]
    header, rows = ["method"], []
    for name in metrics:
        header.append(_label(name))
        if name.startswith("mse_"):
            header.append(_label(name) + " in [0, 1]")
    for method in _methods_in(summary, study):
        cells = [method]
        for name in metrics:
            row = summary.get((method, "", 0.0, name))
            cells.append(_cell(row, _values(summary, name)))
            if name.startswith("mse_"):  # of pictures in [0, 1] it is a quarter
                cells.append(_cell(row, _values(summary, name), 0.25))
        rows.append(tuple(cells))
    note = (
        "Mean over the photographs, 95 % bootstrap interval of it, and how many photographs have a value where some "
        "lack one. MSE of pictures in [-1, 1] unless it says otherwise. Core-seconds: processor time of an inversion, "
        "drawing and storing included, models loaded before."
    )
    return Sheet("reconstruction", "reconstruction", "Reconstruction", note, tuple(header), tuple(rows))


def _comparisons(study: StudyTables) -> Sheet:
    rows = []
    for row in study.comparisons:
        if row["section"] != "reconstruction" or row["margin_kind"] != "absolute":
            continue
        key = (row["method"], row["metric"])
        other = next(
            two
            for two in study.comparisons
            if (two["method"], two["metric"]) == key
            and two["margin_kind"] == "relative"
            and two["section"] == "reconstruction"
        )
        places = decimals_for([row["difference"], row["low"], row["high"]])
        interval = f"{row['difference']:+.{places}f}\n{row['low']:+.{places}f} to {row['high']:+.{places}f}"
        cells = [row["method"], _label(row["metric"]), interval, str(row["count"])]
        for one in (row, other):
            cells += [_p(one["p_t"]), _p(one["p_wilcoxon"]), _verdict(one["p_t"])]
        rows.append(tuple(cells))
    reference = study.comparisons[0]["reference"] if study.comparisons else ""
    header = ["method", "metric", f"minus {reference}", "photographs"]
    for margin in ("1e-8", "2 %"):
        header += [f"p, t test, {margin}", f"p, Wilcoxon, {margin}", f"not worse by {margin}"]
    note = (
        f"Paired differences to {reference} with their 95 % bootstrap interval, and tests that the method is not worse "
        "than it by a margin: 1e-8, as in the F/Z+ paper, and 2 % of the reference's mean. A small p says that it is "
        "not worse. Tests are one by one, without correction for their number."
    )
    return Sheet("comparisons", "reconstruction", f"Compared with {reference}", note, tuple(header), tuple(rows))


def _orders(study: StudyTables) -> Sheet:
    rows = []
    for row in study.orders:
        cells = [published().tables[row["source"]].title, row["column"], f"{row['larger']} > {row['smaller']}"]
        if row["count"]:
            places = decimals_for([row["difference"], row["low"], row["high"]])
            cells += [f"{row['larger_preset']} > {row['smaller_preset']}", _label(row["metric"]).strip(" ↑↓")]
            cells.append(f"{row['difference']:+.{places}f}\n{row['low']:+.{places}f} to {row['high']:+.{places}f}")
        else:
            cells += ["", "", ""]
        rows.append((*cells, str(row["count"]), row["verdict"]))
    header = ("paper", "column", "as printed", "here", "metric", "difference", "photographs", "holds")
    note = (
        "Neighbours in the orders that the papers print. Yes and no: the 95 % interval of the paired difference lies "
        "on one side of 0. Open: it does not. Missing: the study lacks one of both."
    )
    return Sheet("orders", "papers", "Orders that the papers print", note, header, tuple(rows))


def _printed(study: StudyTables, name: str, table: Printed) -> Sheet:
    """Return a paper's table with what stands for its rows; theirs and ours in columns apart."""
    summary = study.summary_of(table.section)
    header, rows, known = ["method"], [], {key[3] for key in summary}
    # Of tables without numbers the paper shows pictures: their rows carry what is measured here alone.
    printed = [column for column in table.metrics if any(column in row.values for row in table.rows)]
    header += [f"{column}, printed" for column in printed]
    header += ["preset here", *(f"{_label(nearest(metric, known))}, here" for metric in table.metrics.values())]
    for row in table.rows:
        preset = presets_of(row.method, study.methods)
        cells = [row.label]
        for column in printed:
            cells.append(_printed_cell(row.values.get(column), row.deviations.get(column)))
        cells.append(preset or "")
        for metric in table.metrics.values():
            cells.append(_over_pictures(summary, preset or "", row.variant, nearest(metric, known)))
        if preset and (printed or any(cells[2:])):
            rows.append(tuple(cells))
    note = (
        f"{'Printed' if printed else 'Claimed'}: {table.source}. Here: the generator and the photographs of this "
        "study. Another generator, other "
        f"photographs: compare orders, not numbers. {table.note}".strip()
    )
    return Sheet(name, "papers", table.title, note, tuple(header), tuple(rows))


def _strength(study: StudyTables) -> Sheet:
    summary = study.summary_of("strength")
    metrics = [name for name in dict.fromkeys(key[3] for key in summary) if name.startswith("identity")]
    metrics = [name for name in metrics if not name.endswith(AT_CHANGE)]
    variants = _variants(summary)
    rows = []
    for method in _methods_in(summary, study):
        for name in metrics:
            cells = [method, _label(name)]
            for variant in variants:
                found = [row for key, row in summary.items() if (*key[:2], key[3]) == (method, variant, name)]
                cells.append(_mean(found))
            every = [row for key, row in summary.items() if (key[0], key[3]) == (method, name) and key[1]]
            rows.append((*cells, _mean(every)))
    note = (
        "Mean over all amounts, the unedited picture among them, and over the photographs on which a face was found. "
        "identity compares with the unedited reconstruction, identity photo with the photograph. The same amount is "
        "not the same change: see the next table."
    )
    header = ("method", "metric", *variants, "all directions")
    return Sheet("strength", "strength", "Identity, mean over all amounts", note, header, tuple(rows))


def _at_change(study: StudyTables) -> Sheet:
    summary = study.summary_of("strength")
    keys = {(key[1], key[2], key[3]) for key in summary if key[3].endswith(AT_CHANGE)}
    names = sorted(keys, key=lambda key: (key[0], key[2] != "off_target" + AT_CHANGE, key[2]))
    rows = []
    for method in _methods_in(summary, study):
        cells = [method]
        for variant, amount, name in names:
            cells.append(_cell(summary.get((method, variant, amount, name)), [1.0]))
        if any(cells[1:]):
            rows.append(tuple(cells))
    header = [f"{variant}: {_label(name.removesuffix(AT_CHANGE))} at {amount:+.3g}" for variant, amount, name in names]
    note = (
        "Read off where the direction's own score has changed by the same number for every method: half of the median "
        "of what the largest amount changes. Of random directions and components, which have no score, it is the "
        "picture that has changed equally much (MSE at 256 px). Off target: what the other attributes change, in "
        "standard deviations of the unedited pictures, which takes more than a few of them. Codes whose score never "
        "changes so much are missing."
    )
    return Sheet("equal_change", "strength", "At equal change of the score", note, ("method", *header), tuple(rows))


def _out_of_range(study: StudyTables) -> Sheet:
    summary = study.summary_of("out_of_range")
    metrics = [name for name in dict.fromkeys(key[3] for key in summary) if name not in ("code", "core_seconds")]
    rows = []
    for method in _methods_in(summary, study):
        for variant in _variants(summary):
            cells = [_cell(summary.get((method, variant, 0.0, name)), _values(summary, name)) for name in metrics]
            if any(cells):
                rows.append((method, variant, *cells))
    note = (
        "The aligned crop moved (pixels of 1024), turned (degrees) or scaled, its edges mirrored, and inverted as it "
        "is (BDInvert's protocol)."
    )
    header = ("method", "transform", *map(_label, metrics))
    return Sheet("out_of_range", "out_of_range", "Pictures out of the generator's range", note, header, tuple(rows))


def _of_pictures(study: StudyTables, section: str, title: str, note: str) -> Sheet:
    """Return every metric of a section's pictures: a row for each method, variant and amount."""
    summary = study.summary_of(section)
    metrics = [name for name in dict.fromkeys(key[3] for key in summary) if name not in _NO_NUMBERS]
    rows = []
    for method in _methods_in(summary, study):
        for variant, amount in dict.fromkeys((key[1], key[2]) for key in summary if key[1]):
            cells = [_cell(summary.get((method, variant, amount, name)), _values(summary, name)) for name in metrics]
            if any(cells):
                rows.append((method, f"{variant} {amount:+g}" if amount else variant, *cells))
    return Sheet(section, section, title, note, ("method", "picture", *map(_label, metrics)), tuple(rows))


def _consistency(study: StudyTables) -> Sheet:
    summary = study.summary_of("consistency")
    names = dict.fromkeys((key[1], key[3]) for key in summary if key[3] != "code")
    rows = []
    for method in _methods_in(summary, study):
        cells = []
        for variant, name in names:
            found = [row for key, row in summary.items() if (key[0], key[1], key[3]) == (method, variant, name)]
            cells.append(_cell(found[0] if found else None, _values(summary, name)))
        rows.append((method, *cells))
    header = ("method", *(f"{variant} {_label(name)}".strip() for variant, name in names))
    note = (
        "style_deviation: root mean square of the styles in standard deviations of the samples'; 1 for the generator's "
        "own codes. return: the edited picture inverted again, the edit taken back, against the unedited "
        "reconstruction. lec: distance of the two codes."
    )
    return Sheet("consistency", "consistency", "Codes and the way back", note, header, tuple(rows))


def _coverage(study: StudyTables) -> Sheet:
    rows, existing = [], set(Presets.of_project(METHODS))
    for name, method in published().methods.items():
        preset = presets_of(name, study.methods)
        state = f"measured as {preset}" if preset else "not in this study"
        there = ", ".join(one for one in method.presets if one in existing)
        why = method.reason or ("" if preset else f"name one of {there}" if there else "there is no such preset")
        rows.append((name, ", ".join(method.papers), state, why))
    header = ("method", "named by", "here", "remark")
    return Sheet("coverage", "missing", "Methods that the papers name", "", header, tuple(rows))


def _missing(study: StudyTables) -> Sheet:
    counts = Counter[tuple[str, str, str, str, str]]()
    for row in study.scores:
        if row["value"] is None:
            counts[row["section"], row["method"], _label(row["metric"]), row["status"], row["reason"]] += 1
    rows = [
        (section, method, metric, status.replace("_", " "), str(count), reason)
        for (section, method, metric, status, reason), count in counts.items()
    ]
    header = ("section", "method", "metric", "status", "values", "reason")
    note = "Values that are missing from means. code: the method has none for a photograph, and so no other metric."
    return Sheet("missing", "missing", "What is missing from which mean", note, header, tuple(rows))


def _photographs(study: StudyTables) -> Sheet:
    rows = tuple((row["path"], row["status"], row["reason"]) for row in study.photos if row["status"] != "ok")
    header = ("photograph", "status", "reason")
    return Sheet("skipped", "missing", "Photographs that could not be used", "", header, rows)


def _methods_in(summary: dict[tuple[str, str, float, str], Row], study: StudyTables) -> list[str]:
    present = {key[0] for key in summary}
    return [method for method in study.methods if method in present]


def _variants(summary: dict[tuple[str, str, float, str], Row]) -> list[str]:
    return [name for name in dict.fromkeys(key[1] for key in summary) if name]


def _values(summary: dict[tuple[str, str, float, str], Row], metric: str) -> list[float]:
    return [row["mean"] for key, row in summary.items() if key[3] == metric and row["mean"] is not None]


def _cell(row: Row | None, column: Sequence[float], factor: float = 1.0) -> str:
    """Return mean, interval and, where some photographs lack a value, how many have one; empty without a value."""
    if row is None or row["mean"] is None:
        return ""
    places = decimals_for([value * factor for value in column], smallest=True)
    mean, low, high = (f"{row[name] * factor:.{places}f}" for name in ("mean", "low", "high"))
    some = f"\n{row['count']} of {row['count'] + row['missing']}" if row["missing"] else ""
    return f"{mean}\n{low} to {high}{some}"


def _mean(rows: Sequence[Row]) -> str:
    """Return the mean of means; empty where there is none."""
    means = [row["mean"] for row in rows if row["mean"] is not None]
    return f"{sum(means) / len(means):.3f}" if means else ""


def _over_pictures(summary: dict[tuple[str, str, float, str], Row], method: str, variant: str, metric: str) -> str:
    """Return the mean over all pictures of a method: of one variant, or of all where it is empty."""
    found = [
        row
        for key, row in summary.items()
        if (key[0], key[3]) == (method, metric) and variant in ("", key[1]) and row["mean"] is not None
    ]
    return _cell(found[0], _values(summary, metric)) if len(found) == 1 else _mean(found)


def _printed_cell(value: float | Sequence[float] | None, deviation: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence):
        return " ".join(f"{one:g}" for one in value)
    return f"{value:g}" + (f" ± {deviation:g}" if deviation is not None else "")


def _label(metric: str) -> str:
    plain = metric.removesuffix(AT_CHANGE)
    return metric_label(plain).replace("core seconds", "core-seconds") + _ARROWS[higher_is_better(plain)]


def _p(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _verdict(value: float | None) -> str:
    return "" if value is None else "yes" if value < SIGNIFICANT else "not shown"

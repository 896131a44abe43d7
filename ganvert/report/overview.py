"""The run on one sheet: per photograph its crop, reconstruction, every edit, one pasted back."""

from __future__ import annotations

from PIL import Image

from ganvert.images import contact_sheet, from_png
from ganvert.report.inputs import ReportInputs

__all__ = ["overview"]


def overview(inputs: ReportInputs, size: int = 232, rows: int = 4) -> Image.Image:
    """Return a contact sheet of the first `rows` faces that have edits, pictures `size` px wide and high."""
    edits = inputs.edits.to_pylist()
    method = edits[0]["method"] if edits else ""
    drawn = {
        row["image_id"]: row["png"]
        for table in inputs.reconstructions
        for row in table.to_pylist()
        if row["method"] == method
    }
    pictures: list[Image.Image] = []
    captions: list[str] = []
    columns = 0
    for face in inputs.aligned.to_pylist()[:rows]:
        of_face = [row for row in edits if row["image_id"] == face["image_id"]]
        if face["image_id"] not in drawn or not of_face:
            continue
        crop = from_png(face["crop"])
        line = [(inputs.originals.get(face["photo_id"], crop), "photograph"), (crop, "aligned")]
        line.append((from_png(drawn[face["image_id"]]), method))
        for edit in dict.fromkeys(row["edit"] for row in of_face):
            strongest = max((row for row in of_face if row["edit"] == edit), key=lambda row: row["amount"])
            line.append((from_png(strongest["crop"]), f"{edit} {strongest['amount']:+g}"))
        pasted = [row for row in of_face if row["pasted"]]
        line += [(from_png(row["pasted"]), f"{row['edit']} {row['amount']:+g}, pasted back") for row in pasted[:1]]
        pictures += [picture for picture, _ in line]
        captions += [caption for _, caption in line]
        columns = len(line)
    return contact_sheet(pictures, max(columns, 1), size, captions)

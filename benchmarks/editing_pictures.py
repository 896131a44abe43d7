"""The pictures of docs/editing.md: every command on the sample photographs, its sheet as JPEG.

    python -m benchmarks.editing_pictures OUT [NAME ...]

NAME is a picture, such as `diffuse`; all are made without one. Each is OUT/edit_NAME.jpg, at most 150 KB. Run it in the
project's folder after `make repro`, whose codes of the sample photographs are edited.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from ganvert import assets
from ganvert.cli import app

#: The largest file [bytes]; quality falls until it is met.
LARGEST = 150_000
PX = "200"


def commands(work: Path, photos: Path) -> dict[str, tuple[list[str], str]]:
    """Return picture to its command, without --out, and what of the output it is: empty for the output itself."""
    first, second, third = (str(photos / name) for name in ("obama.jpg", "biden.jpg", "astronaut.png"))
    codes = ["--codes", "data/codes/balanced.parquet", "--px", PX]
    one = ["--image", "obama"]
    return {
        "edit": (["edit", *codes, *one, "--direction", "smile=-2:2:5"], ""),
        "grid": (["grid", *codes, *one, "--direction", "yaw=-2:2:3", "--direction", "age=-2:2:5"], ""),
        # Between feature maps both heads show.
        "interpolate": (["interpolate", first, second, "--method", "encoder_wplus", "--count", "5", "--px", PX], ""),
        "mix": (["mix", "obama", "biden", "--style", "astronaut", *codes], "sheet.png"),
        "blend": (["blend", first, third, "--px", PX], "sheet.png"),
        "transfer": (
            [
                "transfer",
                first,
                str(painted(work, first)),
                second,
                "--part",
                "all",
                "--amount",
                "1",
                "--amount",
                "2",
                "--same-crop",
                "--px",
                PX,
            ],
            "sheet.png",
        ),
        "diffuse": (["diffuse", first, second, "--onto", third, "--px", PX], "sheet.png"),
        "crossover": (["crossover", third, first, "--mask", "hair", "--px", PX], "sheet.png"),
        "scribble": (["crossover", str(bearded(work, first)), first, "--same-crop", "--px", PX], "sheet.png"),
        "inpaint": (["inpaint", first, "--mask", "mouth", "--px", PX], "sheet.png"),
        "stimuli": (["stimuli", *codes[:2], *one, "--direction", "age=-2:2:5", "--oval", "--px", PX], "sheet.png"),
    }


def painted(work: Path, photo: str) -> Path:
    """Write a photograph with round glasses painted on its face, and return where."""
    picture, landmarks = with_landmarks(photo)
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    radius = 0.36 * float(eyes[1][0] - eyes[0][0])
    draw, width = ImageDraw.Draw(picture), max(round(radius / 7), 2)
    for x, y in eyes:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(25, 20, 20), width=width)
    (x, y), (u, v) = eyes
    draw.line((x + radius, y, u - radius, v), fill=(25, 20, 20), width=width)
    return written(picture, work / "painted.png")


def bearded(work: Path, photo: str) -> Path:
    """Write a photograph with a beard scribbled on its face, and return where."""
    picture, landmarks = with_landmarks(photo)
    mouth, brush = landmarks[48:68].mean(axis=0), 0.16 * float(landmarks[45, 0] - landmarks[36, 0])
    draw = ImageDraw.Draw(picture)
    for line in (mouth + 0.85 * (landmarks[3:14] - mouth), landmarks[48:55] - (0, 0.7 * brush)):
        draw.line([(float(x), float(y)) for x, y in line], fill=(45, 32, 25), width=round(brush), joint="curve")
    return written(picture, work / "bearded.png")


def with_landmarks(photo: str) -> tuple[Image.Image, np.ndarray]:
    """Return a photograph to paint on, and the 68 landmarks of its face [68, 2]."""
    from ganvert.faces import FaceDetector, open_photo

    opened = open_photo(Path(photo))
    return opened.image.copy(), FaceDetector(assets.home()).detect(opened.image)[0]


def written(picture: Image.Image, path: Path) -> Path:
    """Write a picture and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def make(name: str, command: list[str], part: str, out: Path) -> None:
    """Run a command and write its picture."""
    target = out / "work" / name if part else out / "work" / f"{name}.png"
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    done = CliRunner().invoke(app, [*command, "--out", str(target)])
    if done.exit_code:
        raise SystemExit(f"ganvert {' '.join(command)}: {done.output}")
    with Image.open(target / part if part else target) as file:
        sheet = file.convert("RGB")
    path = out / f"edit_{name}.jpg"
    save_jpeg(sheet, path, LARGEST)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
    print(f"{path}: {sheet.width} x {sheet.height}, {path.stat().st_size // 1000} KB, {taken:.0f} CPU s", flush=True)


def save_jpeg(picture: Image.Image, path: Path, largest: int) -> None:
    """Write a picture as JPEG of the best quality, down to 45, with which it has at most `largest` bytes."""
    for quality in range(90, 40, -5):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= largest:
            break


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = commands(arguments.out / "work", assets.home().parent / "sample_photos")
    for name in arguments.names or known:
        make(name, *known[name], arguments.out)


if __name__ == "__main__":
    main()

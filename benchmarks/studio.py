"""What a user of `ganvert studio` waits for: median seconds over HTTP, until the last byte of the picture is there.

    ganvert studio --port 7860 &
    python -m benchmarks.studio PHOTOGRAPH [--address http://127.0.0.1:7860] [--count 20]

`upload`: PHOTOGRAPH enlarged to 12 megapixels, sent and opened, until its first picture. `preview`: a slider moves.
`release`: it is let go, until the full picture. The inversion that follows an upload is stopped before the next one.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

PIXELS = 12_000_000


class Page:
    """What the page of a studio asks its server for.

    Args:
        address: of the studio.
    """

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=600)
        config = self.http.get("/config").json()
        self._session = secrets.token_hex(8)
        places = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self._functions: dict[tuple[str, str | None], int] = {}
        for call in config["dependencies"]:
            for part, event in call["targets"]:
                self._functions.setdefault((event, places.get(part)), call["id"])
        self.token = self.view("load", "", [""])["token"]

    def view(self, event: str, place: str | None, data: list[Any], asked: dict[str, Any] | None = None) -> Any:
        """Do what an event of Gradio's does; return the view that it answers with.

        Args:
            event: such as ``release``.
            place: ``elem_id`` of the component.
            data: what the function takes.
            asked: what the script asks for, of the event ``act``.
        """
        function = next(n for (what, where), n in self._functions.items() if what == event and where in (place, None))
        body = {"fn_index": function, "data": data, "event_data": asked, "session_hash": self._session}
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self._session}) as answers:
            for line in answers.iter_lines():
                answer = json.loads(line.removeprefix("data: ") or "{}")
                if answer.get("msg") == "process_completed":
                    return next(part for part in answer["output"]["data"] if isinstance(part, dict) and "token" in part)
        raise RuntimeError(f"{event} of {place}: the stream ended without an answer")

    def act(self, what: str, **asked: Any) -> Any:
        """Do what a button of the script asks for; return the view."""
        return self.view("act", None, [self.token, None], {"what": what, **asked})

    def fetch(self, name: str) -> None:
        """Load a picture."""
        self.http.get(f"/studio/picture/{name}").raise_for_status()

    def upload(self, photograph: bytes) -> None:
        """Send and open a photograph, until its first picture is there."""
        self.http.post("/studio/photo", content=photograph, headers={"X-Studio": self.token}).raise_for_status()
        self.fetch(self.act("open", name="photograph.jpg")["after"])

    def preview(self, amount: float) -> None:
        """Draw what a slider shows while it moves."""
        asked = {"direction": "smile", "amount": str(amount)}
        answer = self.http.get("/studio/preview", params=asked, headers={"X-Studio": self.token})
        self.fetch(answer.json()["after"])

    def release(self, amount: float) -> None:
        """Draw the full picture of where a slider is let go."""
        self.fetch(self.view("release", "g-move-smile", [self.token, amount])["after"])


def enlarged(path: Path) -> bytes:
    """Return a photograph as JPEG of 12 megapixels."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    scale = (PIXELS / (picture.width * picture.height)) ** 0.5
    buffer = io.BytesIO()
    picture.resize((round(picture.width * scale), round(picture.height * scale))).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def median(work: Callable[[], None], count: int, before: Callable[[], Any] = lambda: None) -> float:
    """Return the median seconds of a work, after one run that is not counted."""
    taken = []
    for _ in range(count + 1):
        before()
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:7860")
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    page, photograph = Page(arguments.address), enlarged(arguments.photograph)
    amounts = itertools.count(1)  # a picture that was drawn is kept: every amount is another one

    def amount() -> float:
        return round(-2 + next(amounts) * 0.01, 2)

    def stopped() -> None:
        page.act("cancel")

    print(f"upload  {median(lambda: page.upload(photograph), arguments.count, stopped):.2f} s", flush=True)
    stopped()
    print(f"preview {median(lambda: page.preview(amount()), arguments.count):.2f} s", flush=True)
    print(f"release {median(lambda: page.release(amount()), arguments.count):.2f} s", flush=True)


if __name__ == "__main__":
    main()

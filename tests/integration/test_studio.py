"""The studio in a browser: from a photograph to an edit and back, a reload, another user, and foreign pages."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from ganvert.directions import Direction, save_directions
from ganvert.generators import load_generator
from ganvert.studio.server import MOST_BYTES

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MSE = {"loss": "mse", "resolution": 64}
PROGRAM = "from ganvert.cli import main; main()"


def steps(count: int) -> dict[str, Any]:
    return {"inverter": "optimise", "space": "wplus", "init": "mean", "steps": count, "lr": 0.05, "objective": [MSE]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_generator_file: Path) -> Path:
    root = tmp_path_factory.mktemp("studio")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["invert"]["options"] = {"first": steps(2), "balanced": steps(20), "best": steps(1_000_000)}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")
    generator = load_generator(tiny_generator_file)
    vector = np.full(generator.w_dim, generator.w_dim**-0.5)
    smile = Direction(
        name="smile", space="w", method="random", vector=vector, unit=1.0, first_row=0, last_row=generator.num_ws
    )
    save_directions(root / "directions.parquet", [smile], {"generator": generator.fingerprint()})
    return root


@pytest.fixture(scope="module")
def server(project: Path, assets: Path, tiny_generator_file: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of a running studio; it ends by Ctrl-C, without a traceback."""
    options = ["--port", "0", "--recipe", "center", "--first", "first", "--device", "cpu"]
    options += ["--generator", str(tiny_generator_file), "--directions", "directions.parquet"]
    log = project / "studio.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GANVERT_ASSETS": str(assets), "OMP_NUM_THREADS": "1"}
    environment["HOME"] = str(project)  # where the seconds of methods are kept
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "studio", *options],
            cwd=project,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 180
        while not (found := re.search(r"http://\S+", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[0].rstrip("/"), process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def studio(server: tuple[str, int]) -> str:
    """The address of a running studio."""
    return server[0]


def until(chromium: Any, condition: str, seconds: float = 90) -> Any:
    """Wait until an expression is true in the page; return its value."""
    deadline = time.monotonic() + seconds
    while not (found := chromium.run(condition)):
        assert time.monotonic() < deadline, f"{condition}\n{chromium.run('document.body.innerText')}"
        time.sleep(0.1)
    return found


def drop(chromium: Any, name: str, data: bytes) -> None:
    """Drop a file on the page."""
    chromium.run(
        f"""(() => {{
            const bytes = Uint8Array.from(atob({base64.b64encode(data).decode()!r}), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], {json.dumps(name)}));
            document.dispatchEvent(new DragEvent('drop', {{dataTransfer: transfer, cancelable: true}}));
        }})()"""
    )


def click(chromium: Any, text: str) -> None:
    """Click the button with a text, once it is there and can be clicked."""
    # Gradio has each tab a second time, unseen, to measure how many of them fit.
    tab = f"[...document.querySelectorAll('[role=tab]')].find((b) => b.innerText.trim() === {text!r})"
    other = f"[...document.querySelectorAll('button')].find((b) => b.innerText.trim() === {text!r} && !b.disabled)"
    found = f"({tab} ?? {other})"
    until(chromium, f"!!{found}")
    chromium.run(f"{found}.click()")


def slide(chromium: Any, name: str, amount: float, release: bool) -> None:
    """Move a slider, and let it go."""
    slider = f"document.querySelector('input[type=range][aria-label*={name}]')"
    until(chromium, f"!!{slider}")
    chromium.run(
        f"(() => {{ const s = {slider}; s.value = {amount}; s.dispatchEvent(new Event('input', {{bubbles: true}})); "
        + ("s.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}));" if release else "")
        + "})()"
    )


def waves(step: float = 9) -> bytes:
    picture = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / step)[..., None] * [1, 0.5, -0.7]
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


RIGHT = "document.querySelector('.g-right')?.textContent"
STATES = "[...document.querySelectorAll('.g-state')]"
SHOWN = "document.querySelector('.g-after')?.src"


def test_from_a_photograph_to_an_edit_and_back(studio: str, chromium: Any) -> None:
    chromium.open(studio + "/")
    assert chromium.shows("Your photograph")
    drop(chromium, "page.jpg", b"<html>no picture</html>")
    assert chromium.shows("page.jpg") and chromium.shows("Your photograph")
    drop(chromium, "waves<b>.png", waves())
    until(chromium, f"{RIGHT} === 'unedited'")
    until(chromium, "!document.querySelector('.g-job')")  # it was refined in the background
    click(chromium, "Edit")
    before = chromium.run(SHOWN)
    slide(chromium, "smile", 2, release=False)
    until(chromium, f"{RIGHT} === 'smile +2 (preview)'")
    slide(chromium, "smile", 2, release=True)
    until(chromium, f"{RIGHT} === 'smile +2'")
    assert chromium.run(SHOWN) != before
    rows = "document.querySelector('[data-slot=changes] select')"
    until(chromium, f"!!{rows}")
    chromium.run(f"{rows}.value = 'pose'; {rows}.dispatchEvent(new Event('change'))")
    until(chromium, f"{RIGHT} === 'smile@0:3 +2'")
    click(chromium, "Undo")
    until(chromium, f"{RIGHT} === 'smile +2'")
    slide(chromium, "smile", -1, release=True)
    until(chromium, f"{RIGHT} === 'smile -1'")
    click(chromium, "Undo")
    until(chromium, f"{RIGHT} === 'smile +2'")
    until(chromium, "document.querySelector('input[type=range][aria-label*=smile]').value === '2'")
    assert chromium.run("document.querySelectorAll('.g-state').length") == 3  # the rows made room for smile -1
    # Each small picture of the history is as far from the top of its frame as from its sides.
    until(chromium, f"{STATES}.every((state) => state.querySelector('img')?.complete)")
    boxes = "[state, state.querySelector('img')].map((part) => part.getBoundingClientRect())"
    inside = "([frame, picture]) => [picture.x - frame.x, picture.y - frame.y].map(Math.round)"
    assert chromium.run(f"{STATES}.map((state) => {boxes}).map({inside})") == [[6, 6]] * 3
    click(chromium, "Keep")
    click(chromium, "Paste into the photograph")
    until(chromium, "document.querySelector('.g-wide')?.naturalWidth === 120")
    click(chromium, "Show the edit as a block for params.yaml")
    until(chromium, "document.body.innerText.includes('direction: smile')")
    # A reload keeps the work.
    chromium.open(studio + "/")
    until(chromium, f"{RIGHT} === 'smile +2'")
    # Nothing was loaded from elsewhere, and no error was shown in the console.
    assert {urlsplit(url).netloc for url in chromium.requests() if url.startswith(("http", "ws"))} == {studio[7:]}
    thrown = [event for event in chromium.events if event["method"] == "Runtime.exceptionThrown"]
    assert not thrown, thrown


def test_a_cancelled_inversion_keeps_its_picture(studio: str, chromium: Any) -> None:
    chromium.open(studio + "/")
    until(chromium, f"!!{SHOWN}")
    drop(chromium, "other.png", waves(5))
    until(chromium, f"{RIGHT} === 'unedited'")
    click(chromium, "Photograph")
    chromium.run("document.querySelector('input[type=radio][value=best]').click()")
    click(chromium, "Stop and keep this")
    until(chromium, "!document.querySelector('.g-job')")
    assert chromium.run(RIGHT) == "unedited"
    chromium.run("document.querySelector('input[type=radio][value=balanced]').click()")  # of the next photographs
    until(chromium, "ganvert.view.quality === 'balanced'")


def test_what_is_compared_combined_and_kept(studio: str, chromium: Any) -> None:
    chromium.open(studio + "/")
    until(chromium, f"!!{SHOWN}")
    drop(chromium, "me.png", waves())
    until(chromium, f"ganvert.view.name === 'me.png' && {RIGHT} === 'unedited' && ganvert.view.methods.length === 2")
    click(chromium, "Compare")
    click(chromium, "Measure this edit")
    panel = "[...document.querySelectorAll('[data-slot=compare] button')].find((b) => b.innerText === 'Compare')"
    until(chromium, f"!!{panel}")
    chromium.run(f"{panel}.click()")
    until(chromium, f"{RIGHT} === 'balanced: unedited' && document.querySelectorAll('.g-better').length > 0")
    click(chromium, "Back to the edit")
    until(chromium, f"{RIGHT} === 'unedited'")
    click(chromium, "People")
    picture = base64.b64encode(waves(5)).decode()
    chromium.run(
        f"ganvert.send(new File([Uint8Array.from(atob({picture!r}), (c) => c.charCodeAt(0))], 'you.png'), 'second')"
    )
    until(chromium, "ganvert.view.people.known.second?.ready")
    click(chromium, "Combine")
    until(chromium, f"{RIGHT} === 'interpolate 0.5'")
    click(chromium, "Keep")
    click(chromium, "GIF")
    until(chromium, "ganvert.view.task.download?.name === 'me_smile.gif'")
    address = chromium.run("document.querySelector('a[download=\"me_smile.gif\"]').href")
    assert httpx.get(address).content.startswith(b"GIF89a")
    click(chromium, "MP4")
    until(chromium, "ganvert.view.task.download?.name === 'me_smile.mp4'")
    address = chromium.run("document.querySelector('a[download=\"me_smile.mp4\"]').href")
    assert httpx.get(address).content[4:8] == b"ftyp"
    chromium.run("ganvert.sendFolder([1, 2].map((i) => new File([new Uint8Array(9)], i + '.png')))")
    until(chromium, "ganvert.view.folder === 2")
    click(chromium, "Stimuli")
    click(chromium, "Make the set")
    until(chromium, "document.querySelectorAll('.g-cell').length === 5")
    chromium.run("document.querySelector('.g-cell').click()")
    until(chromium, "document.querySelectorAll('.g-out').length === 1")
    until(chromium, "ganvert.view.task.state === 'done'")
    click(chromium, "Export")
    until(chromium, "document.body.dataset.saved === 'stimuli.zip'")
    thrown = [event for event in chromium.events if event["method"] == "Runtime.exceptionThrown"]
    assert not thrown, thrown


def test_what_is_too_large_of_a_folder_is_named(studio: str, chromium: Any) -> None:
    chromium.open(studio + "/")
    chromium.run("localStorage.clear()")  # a user without a folder yet
    chromium.open(studio + "/")
    until(chromium, "!!window.ganvert?.view.token")
    drop(chromium, "me.png", waves())
    until(chromium, f"ganvert.view.name === 'me.png' && {RIGHT} === 'unedited'")
    click(chromium, "Keep")
    # Without the bytes: a size is all that the page looks at.
    chromium.run("window.file = (name, size) => Object.defineProperty(new File(['x'], name), 'size', {value: size})")
    most, count = MOST_BYTES, "document.querySelector('[data-slot=keep] .g-count').textContent"
    files = [("small.png", 1), ("fits.png", most), ("huge.png", most + 1), ("huge.txt", most + 1)]
    chromium.run(f"ganvert.sendFolder([{', '.join(f'file({name!r}, {size})' for name, size in files)}])")
    until(chromium, "ganvert.view.folder === 2")
    left_out = f"Left out, because they are larger than {most >> 20} MB: huge.png."
    assert left_out in chromium.run(count)
    click(chromium, "Forget them")
    until(chromium, f"{count} === 'No photographs yet. '")
    chromium.run(f"ganvert.sendFolder([file('huge.png', {most + 1})])")
    until(chromium, f"{count}.startsWith('No photographs yet. {left_out}')")


MONKEY = """((random) => {
    const pick = (list) => list[Math.floor(random * list.length) % list.length];
    const seen = (e) => e.offsetParent !== null && !e.disabled;
    const kinds = 'button, select, input[type=range], input[type=radio], input[type=checkbox]';
    const e = pick([...document.querySelectorAll(kinds)].filter(seen).filter((e) => e.innerText !== 'Camera'));
    if (e.tagName === 'SELECT') { e.value = pick([...e.options]).value; e.dispatchEvent(new Event('change')); }
    else if (e.type === 'range') {
      e.value = Number(e.min) + (e.max - e.min) * ((random * 7919) % 1);
      e.dispatchEvent(new Event('input', {bubbles: true}));
      e.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}));
    } else e.click();
    return e.innerText || e.getAttribute('aria-label') || e.value || e.tagName;
})"""


def resident(process: int) -> int:
    """Memory of a process [bytes]."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_fifty_random_interactions(server: tuple[str, int], chromium: Any) -> None:
    studio, process = server
    chromium.open(studio + "/")
    until(chromium, f"!!{SHOWN}")
    numbers, done, before = np.random.default_rng(0), list[str](), 0
    for count in range(50):
        number = chromium.run("ganvert.view.number")
        done.append(chromium.run(f"{MONKEY}({numbers.random()})"))
        deadline = time.monotonic() + 0.7  # many controls have no answer: a tab, a slider without a photograph
        while chromium.run("ganvert.view.number") == number and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "terminal says more" not in chromium.run("document.body.innerText"), done
        if count == 24:
            before = resident(process)
    chromium.run("ganvert.act({what: 'stop'})")
    chromium.run("ganvert.act({what: 'cancel'})")
    until(chromium, "!ganvert.view.message?.includes('terminal') && !document.querySelector('.g-job progress')")
    thrown = [event for event in chromium.events if event["method"] == "Runtime.exceptionThrown"]
    assert not thrown, (done, thrown)
    assert resident(process) - before < 100 << 20, done


def test_another_user_sees_nothing_of_it(studio: str, chromium: Any) -> None:
    chromium.open(studio + "/")
    until(chromium, f"!!{SHOWN}")
    shown = chromium.run(SHOWN)
    assert httpx.get(shown).headers["content-type"] == "image/jpeg"
    assert httpx.get(shown[:-1] + "x").status_code == 404
    chromium.run("localStorage.clear()")
    chromium.open(studio + "/")
    assert chromium.shows("Your photograph") and chromium.run(SHOWN) is None


def test_foreign_pages_and_large_files_are_refused(studio: str, chromium: Any) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for method, path in (("GET", "/"), ("POST", "/studio/photo"), ("POST", "/gradio_api/queue/join")):
            assert httpx.request(method, studio + path, headers=headers).status_code == 403
    for method in ("fast", "balanced", "best"):  # the examples of the cards
        assert httpx.get(f"{studio}/studio/examples/{method}.jpg").content.startswith(b"\xff\xd8")
    assert httpx.post(studio + "/gradio_api/upload", files={"files": b"x"}).status_code == 404
    assert httpx.post(studio + "/studio/photo", content=bytes(65 << 20)).status_code == 413
    assert httpx.get(studio + "/studio/preview?direction=smile&amount=x").status_code == 400
    assert httpx.get(studio + "/studio/preview?direction=smile&amount=1").json() == {"preview": True}  # of nobody
    chromium.open(studio.replace("127.0.0.1", "evil.example"))
    assert chromium.shows("this studio is not evil.example")
    with socket.create_connection(urlsplit(studio).netloc.split(":")) as plain:  # type: ignore[arg-type]
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"403" in plain.recv(100)

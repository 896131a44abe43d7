"""What an extraction tells of itself, its runners' refusals, and what a cluster's worker checks."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from flows import settings  # noqa: F401  (before prefect)

# isort: split
from flows import progress, publish, runners
from flows.progress import Progress
from ganvert.extraction import Invert, Job, Shard
from stages import extract as shards
from stages.extract import InputError, ParamsError, StorageError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def job() -> Job:
    preset = {"inverter": "feed_forward", "space": "wplus"}
    told = Invert(method="encoder", preset=preset, generator="none.safetensors", encoders=("none.safetensors",))
    return Job(align=None, invert=told, assets="none", device="cpu", threads=1)


def test_progress_counts_and_estimates_from_what_this_run_has_done() -> None:
    clock = Clock()
    told = Progress(1000, 400, clock)
    clock.now += 10
    told.end("a", done=20, empty=3)
    told.part("b", 5.0)
    text = told.text()  # 25 in 10 s: 575 more take 230 s
    assert text.startswith("**425 of 1,000 pictures**, 400 of them by earlier runs, 3 without a code, 2.50 images/s")
    assert "about 0:03:50 left, until " in text
    told.part("b", 6.0)
    told.end("b", failed=10)  # its parts are not done after all, and nothing is waited for
    assert told.text().startswith(
        "**420 of 1,000 pictures**, 400 of them by earlier runs, 3 without a code, 10 in failed shards, 2.00 images/s"
    )
    assert "about 0:04:45 left" in told.text()  # 570 at 2 a second


def test_the_estimate_is_made_of_the_last_minutes() -> None:
    clock = Clock()
    told = Progress(100_000, 0, clock)
    for rate in (1, 10):  # slow for an hour, then fast for an hour
        for _ in range(360):
            clock.now += 10
            told.end("x", done=10 * rate)
            text = told.text()
    assert "10.00 images/s" in text
    assert len(told._seen) <= progress.RECENT / progress.UPDATE + 2  # a run of days remembers no more


def test_progress_is_drawn_at_most_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(progress, "create_progress_artifact", lambda value, **_: drawn.append(("new", value)) or "id")
    monkeypatch.setattr(progress, "update_progress_artifact", lambda _, value, **__: drawn.append(("again", value)))
    clock = Clock()
    told = Progress(10, 0, clock)
    for _ in range(40):
        told.draw()
        clock.now += progress.UPDATE / 20
    assert [what for what, _ in drawn] == ["new", "again"]
    told.end("x", done=10)
    told.draw(now=True)
    assert drawn[-1] == ("again", 100.0)


def test_no_cell_breaks_a_markdown_table() -> None:
    lines = publish.markdown_table(
        [{"picture": "a|b.png", "reason": "one\ntwo\r\nthree"}, {"picture": "c", "reason": ""}]
    )
    assert lines == ["| picture | reason |", "|---|---|", "| a\\|b.png | one two three |", "| c |  |"]


def test_a_sheet_travels_as_a_small_picture(tmp_path: Path) -> None:
    sheet = Image.linear_gradient("L").resize((600, 300)).convert("RGB")
    sheet.save(tmp_path / "sample.png")
    kind, _, data = publish.jpeg_uri(tmp_path / "sample.png").partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (600, 300))


def test_threads_know_no_address(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="tcp://host:1"), runners.threads(job, tmp_path, 1, "tcp://host:1"):
        pass


def test_an_engine_that_is_not_installed_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(UnsupportedError, match=re.escape("ganvert[cluster]")):
        runners._needed("no_such_engine")


def test_a_dask_address_where_nobody_answers_is_an_error_of_the_input(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(InputError, match=re.escape("tcp://127.0.0.1:9")),
        runners.dask(job, tmp_path, None, "tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize(("workers", "there", "slots"), [(None, 5, 5), (2, 5, 2), (8, 5, 5), (None, 0, 1), (3, 0, 1)])
def test_a_cluster_is_used_as_far_as_it_goes(workers: int | None, there: int, slots: int) -> None:
    assert runners._at_most(workers, there) == slots


def test_a_worker_of_another_version_says_so(job: Job, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="same version"):
        shards.do_shard(job.to_json(), "0" * 32, Shard.of([]).to_json(), str(tmp_path))


def test_a_worker_that_does_not_see_the_store_says_so(job: Job, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=re.escape(str(tmp_path / "unseen"))):
        shards.do_shard(job.to_json(), job.key, Shard.of([]).to_json(), str(tmp_path / "unseen"))
    assert not (tmp_path / "unseen").exists()  # nothing is finished where nobody looks for it

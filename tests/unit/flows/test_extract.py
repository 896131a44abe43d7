"""Progress of an extraction, errors of its runners, and checks of a cluster's worker."""

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
    invert = Invert(method="encoder", preset=preset, generator="none.safetensors", encoders=("none.safetensors",))
    return Job(align=None, invert=invert, assets="none", device="cpu", threads=1)


def test_progress_counts_and_estimates_from_what_this_run_has_done() -> None:
    clock = Clock()
    counter = Progress(1000, 400, clock)
    clock.now += 10
    counter.end("a", done=20, empty=3)
    counter.part("b", 5.0)
    text = counter.text()  # 25 in 10 s: 575 more take 230 s
    assert text.startswith("**425 of 1,000 pictures**, 400 of them by earlier runs, 3 without a code, 2.50 images/s")
    assert "about 0:03:50 left, until " in text
    counter.part("b", 6.0)
    counter.end("b", failed=10)  # its parts do not count after all, and nothing is left to wait for
    assert counter.text().startswith(
        "**420 of 1,000 pictures**, 400 of them by earlier runs, 3 without a code, 10 in failed shards, 2.00 images/s"
    )
    assert "about 0:04:45 left" in counter.text()  # 570 at 2 a second


def test_the_estimate_is_made_of_the_last_minutes() -> None:
    clock = Clock()
    counter = Progress(100_000, 0, clock)
    for rate in (1, 10):  # slow for an hour, then fast for an hour
        for _ in range(360):
            clock.now += 10
            counter.end("x", done=10 * rate)
            text = counter.text()
    assert "10.00 images/s" in text
    assert len(counter._history) <= progress.RECENT / progress.UPDATE + 2  # a run of days keeps no more


def test_progress_is_drawn_at_most_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(progress, "create_progress_artifact", lambda value, **_: drawn.append(("new", value)) or "id")
    monkeypatch.setattr(progress, "update_progress_artifact", lambda _, value, **__: drawn.append(("again", value)))
    clock = Clock()
    counter = Progress(10, 0, clock)
    for _ in range(40):
        counter.draw()
        clock.now += progress.UPDATE / 20
    assert [call for call, _ in drawn] == ["new", "again"]
    counter.end("x", done=10)
    counter.draw(now=True)
    assert drawn[-1] == ("again", 100.0)


def test_no_cell_breaks_a_markdown_table() -> None:
    lines = publish.markdown_table(
        [{"picture": "a|b.png", "reason": "one\ntwo\r\nthree"}, {"picture": "c", "reason": ""}]
    )
    assert lines == ["| picture | reason |", "|---|---|", "| a\\|b.png | one two three |", "| c |  |"]


def test_a_sheet_becomes_a_small_jpeg(tmp_path: Path) -> None:
    sheet = Image.linear_gradient("L").resize((600, 300)).convert("RGB")
    sheet.save(tmp_path / "sample.png")
    kind, _, data = publish.jpeg_uri(tmp_path / "sample.png").partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (600, 300))


def test_threads_refuse_an_address(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="tcp://host:1"), runners.threads(job, tmp_path, 1, "tcp://host:1"):
        pass


def test_an_error_says_how_to_install_a_missing_engine() -> None:
    with pytest.raises(UnsupportedError, match=re.escape("ganvert[cluster]")):
        runners._import_engine("no_such_engine")


@pytest.mark.slow
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
    assert not (tmp_path / "unseen").exists()  # no shard is finished in a store of its own

"""What `flows.pipeline` reads from DVC, on a small real DVC project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows import pipeline

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # dvc's use of pygtrie

DVC_YAML = """
stages:
  first:
    cmd: cp params.yaml first.txt
    params: [v]
    outs: [first.txt]
  seen:
    cmd: echo 1 > seen.txt
    always_changed: true
    outs: [seen.txt]
  invert:
    matrix: {method: [adam, encoder]}
    cmd: cp first.txt "${item.method}.txt"
    deps: [first.txt]
    outs: ["${item.method}.txt"]
    meta: {gpu: true}
  report:
    cmd: mkdir -p reports/plots
    deps: [adam.txt, encoder.txt]
    outs:
      - reports/report.html: {cache: false}
      - reports/plots
    metrics:
      - reports/metrics.json: {cache: false}
metrics:
  - first.txt
plots:
  - reports/plots/loss.png
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=root, check=True)
    (root / "params.yaml").write_text("v: 1\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "sub").mkdir()
    (root / "sub" / "dvc.yaml").write_text("stages: {last: {cmd: cp ../adam.txt o, deps: [../adam.txt], outs: [o]}}\n")
    return root


def test_stages_come_after_what_they_need(project: Path) -> None:
    stages = pipeline.read(project)
    names = [stage.name for stage in stages]
    assert sorted(names) == ["first", "invert@adam", "invert@encoder", "report", "seen", "sub/dvc.yaml:last"]
    for stage in stages:
        assert all(names.index(needed) < names.index(stage.name) for needed in stage.upstream)
    needs = {stage.name: stage.upstream for stage in stages}
    assert needs["report"] == ("invert@adam", "invert@encoder")
    assert needs["sub/dvc.yaml:last"] == ("invert@adam",)
    assert {stage.name for stage in stages if stage.gpu} == {"invert@adam", "invert@encoder"}
    assert [stage.name for stage in stages if stage.always] == ["seen"]


def test_metrics_and_plots_belong_to_the_stage_that_writes_them(project: Path) -> None:
    stages = {stage.name: stage for stage in pipeline.read(project)}
    assert stages["first"].metrics == (Path("first.txt"),)  # declared at the top level of dvc.yaml
    assert stages["report"].metrics == (Path("reports/metrics.json"),)
    assert stages["report"].plots == (Path("reports/plots/loss.png"),)
    assert stages["invert@adam"].metrics == stages["invert@adam"].plots == ()


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("first", ["first"]),
        ("invert", ["first", "invert@adam", "invert@encoder"]),
        ("encoder.txt", ["first", "invert@encoder"]),
        ("sub/dvc.yaml:last", ["first", "invert@adam", "sub/dvc.yaml:last"]),
    ],
)
def test_a_target_includes_what_it_depends_on(project: Path, target: str, wanted: list[str]) -> None:
    assert sorted(stage.name for stage in pipeline.read(project, [target])) == wanted


def test_an_unknown_target_is_refused_with_the_names_there_are(project: Path) -> None:
    with pytest.raises(pipeline.TargetError, match=r"'inver'.*invert@adam"):
        pipeline.read(project, ["inver"])


@pytest.mark.slow
def test_stale_is_what_dvc_would_run(project: Path) -> None:
    stages = pipeline.read(project)
    assert pipeline.stale(project, stages) == {stage.name for stage in stages}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "first"], cwd=project, check=True)
    assert "first" not in pipeline.stale(project, stages)
    (project / "params.yaml").write_text("v: 2\n")
    assert "first" in pipeline.stale(project, stages)


@pytest.mark.slow
def test_every_stage_counts_as_stale_while_dvc_is_locked(project: Path) -> None:
    from dvc.repo import Repo, lock_repo

    stages = pipeline.read(project, ["first"])
    with Repo(str(project)) as repo, lock_repo(repo):
        assert pipeline.stale(project, stages) == {"first"}


def test_project_root_is_found_from_below(project: Path) -> None:
    assert pipeline.project_root(project / "sub") == project

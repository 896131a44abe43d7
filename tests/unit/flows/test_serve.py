"""The flows that a request may start: their parameters, and that they run as they are in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import settings  # noqa: F401  (before prefect)

# isort: split
from prefect import Flow
from prefect.exceptions import ParameterTypeError, SignatureMismatchError

from flows import serve
from flows.folders import Folders

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Flow]:
    monkeypatch.setattr(serve, "end_with_parent", lambda: None)
    return {flow.name: flow for flow in serve.served(Folders.of(ROOT))}


def test_deployments_have_names_of_their_own() -> None:
    assert len(set(serve.DEPLOYMENTS.values())) == 2 == len(serve.DESCRIPTIONS)


def test_no_request_names_a_project_a_store_or_a_cluster(flows: dict[str, Flow]) -> None:
    assert set(flows["reproduce"].parameters.properties) == {"targets", "force"}
    refused = {"root", "work", "address"}
    assert not refused & set(flows["extract"].parameters.properties)
    for flow in flows.values():
        for name in refused:
            with pytest.raises(SignatureMismatchError):
                flow.validate_parameters({name: "/tmp"})


def test_the_form_has_descriptions_choices_and_limits(flows: dict[str, Flow]) -> None:
    form = flows["extract"].parameters
    assert form.required == []
    assert form.properties["runner"]["enum"] == ["threads", "dask", "ray"]
    assert form.properties["photos"]["description"].startswith("folders, pictures")
    assert {"encoder", "cpu_fwplus"} < set(form.properties["method"]["enum"])
    assert form.properties["photos"]["default"] == []
    for wrong in ({"workers": 0}, {"runner": "thread"}, {"retries": -1}):
        with pytest.raises(ParameterTypeError):
            flows["extract"].validate_parameters(wrong)


@pytest.mark.parametrize(
    "wrong", [{"photos": ["/etc"]}, {"photos": ["data", "../.."]}, {"out": "/tmp/x"}, {"out": "data"}]
)
def test_a_path_outside_ends_the_run_before_anything_is_read(flows: dict[str, Flow], wrong: dict) -> None:
    state = flows["extract"].fn(**wrong)
    assert state.is_failed() and "wanted a path in" in state.message

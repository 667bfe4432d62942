"""What real processes show, and what the rules, the dashboard and the documents say of it.

Breaks that were tried, and which test failed: a metric renamed in app/metrics/engine.py (each that
compares names); a label misspelt in alerts.yml (the labels); a bracket taken from an expression
(the parsing).
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import promql_parser
import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.compose import ROOT
from tests.dev.processes import PATIENCE_SECONDS
from tests.journey.processes import free_ports
from tests.schema.api import Api, running_api
from tests.worker.control import Services, a_worker, trigger, until

# Prometheus' own, and the labels that it adds to every series.
_PROMETHEUS = {"up"}
_ADDED_LABELS = {"job", "instance", "le"}
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


@dataclass
class Shown:
    """The families that the processes show, and the labels of each."""

    labels: dict[str, set[str]] = field(default_factory=dict)
    values: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def read(self, page: str) -> None:
        """Take one page."""
        for family in text_string_to_metric_families(page):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = self.labels.setdefault(name, set())
            for sample in family.samples:
                labels.update(sample.labels)
                self.values[sample.name, frozenset(sample.labels.items())] = sample.value

    @property
    def names(self) -> set[str]:
        """Return the names that are ours."""
        return {name for name in self.labels if name.startswith("tickwheel_")}

    def sum_of(self, name: str, **labels: str) -> float:
        """Add up the samples of that name and with these labels."""
        return sum(
            value
            for (sample, found), value in self.values.items()
            if sample == name and labels.items() <= dict(found).items()
        )


@pytest_asyncio.fixture
async def shown(database_url: str, redis_url: str, services: Services) -> AsyncIterator[Shown]:
    """What an API and a worker show after a scheduled run that succeeded and one that failed."""
    (port,) = free_ports(1)
    async with (
        running_api(database_url, redis_url, metrics_schedules=10) as api,
        a_worker(services, worker_port=port),
    ):
        await _make_runs(api)
        shown = Shown()
        shown.read(await _page(f"http://127.0.0.1:{port}/metrics"))
        shown.read(await _page(api.url.replace("/graphql", "/metrics"), token=api.token))
        yield shown


@pytest.fixture
def services(database_url: str, redis_url: str, tmp_path: Any) -> Services:
    """Return what a worker needs."""
    return Services(database_url, redis_url, tmp_path)


async def _make_runs(api: Api) -> None:
    failing = await api.create_job("fail", config={"function": "app.handlers.builtin.fail"})
    await until(api, [await trigger(api, failing)], "FAILED")
    # Each run is in the way of the next one.
    config = {"function": "app.handlers.builtin.sleep"}
    sleeping = await api.create_job("sleep", config=config, parameters={"seconds": 1.5})
    schedule = await api.create_schedule(sleeping, cron="* * * * * *")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _has_run_and_skipped(api, schedule["id"]):  # noqa: ASYNC110 - a worker does
            await asyncio.sleep(0.1)


async def _has_run_and_skipped(api: Api, schedule_id: str) -> bool:
    query = "query($id: ID!) { schedule(id: $id) { successCount skipCount } }"
    found = (await api.data(query, id=schedule_id))["schedule"]
    return bool(found["successCount"] and found["skipCount"])


async def _page(url: str, *, token: str | None = None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert response.status == 200
        return await response.text()


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "deploy/grafana/tickwheel.json").read_text())["panels"])


def expressions() -> list[str]:
    """Return the PromQL of every rule and panel; Grafana would fill in its variable."""
    drawn = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [
        *(rule["expr"] for rule in rules()),
        *(text.replace("$__rate_interval", "5m") for text in drawn),
    ]


def nodes(text: str) -> list[Any]:
    """Return every node of an expression; one that is not PromQL raises."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(text), found.append)
    return found


def selectors(text: str) -> dict[str, set[str]]:
    """Return the metrics an expression selects, each with the labels it is matched by."""
    found: dict[str, set[str]] = {}
    for node in nodes(text):
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            name = _SUFFIX.sub("", str(selector.name))
            matchers = selector.matchers.matchers
            found.setdefault(name, set()).update(matcher.name for matcher in matchers)
    return found


def grouped_by(text: str) -> set[str]:
    """Return the labels an expression groups by."""
    modifiers = [getattr(node, "modifier", None) for node in nodes(text)]
    return {
        label
        for modifier in modifiers
        if isinstance(modifier, promql_parser.AggModifier)
        for label in modifier.labels
    }


@pytest.mark.parametrize("text", expressions())
def test_expression_is_promql_over_metrics_of_ours(text: str) -> None:
    assert selectors(text)


def test_every_rule_says_how_bad_and_what() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


def test_panels_do_not_lie_on_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(panels())


async def test_names_are_the_same_everywhere(shown: Shown) -> None:
    documented = set(re.findall(r"`(tickwheel_\w+)`", (ROOT / "docs/operations.md").read_text()))
    assert documented == shown.names
    selected = {name for text in expressions() for name in selectors(text)} - _PROMETHEUS
    assert selected == shown.names


async def test_rules_and_panels_use_labels_that_there_are(shown: Shown) -> None:
    for text in expressions():
        there = set().union(
            _ADDED_LABELS, *(shown.labels.get(name, ()) for name in selectors(text))
        )
        assert grouped_by(text) <= there, text
        for name, matched in selectors(text).items():
            assert matched <= shown.labels.get(name, set()) | _ADDED_LABELS, text


async def test_what_happened_is_counted(shown: Shown) -> None:
    assert shown.sum_of("tickwheel_runs_total", state="FAILED", kind="PYTHON", queue="default") == 1
    assert shown.sum_of("tickwheel_runs_total", state="SUCCEEDED") >= 1
    # The one that was triggered by hand belongs to no schedule.
    succeeded = shown.sum_of("tickwheel_runs_total", state="SUCCEEDED")
    assert shown.sum_of("tickwheel_schedule_delay_seconds_count") == succeeded
    assert shown.sum_of("tickwheel_run_duration_seconds_count") == succeeded + 1
    assert shown.sum_of("tickwheel_schedule_delay_seconds_bucket", le="+Inf") == succeeded
    assert shown.sum_of("tickwheel_ticks_missed_total", reason="OVERLAP") >= 1
    assert shown.sum_of("tickwheel_schedules", state="ACTIVE") == 1
    assert shown.sum_of("tickwheel_ticker_last_success_timestamp_seconds") > 0
    assert set(shown.labels["tickwheel_schedule_last_success_timestamp_seconds"]) == {
        "project",
        "schedule",
    }
    assert {
        value
        for (name, _), value in shown.values.items()
        if name in {"tickwheel_worker_up", "tickwheel_dependency_up"}
    } == {1.0}

"""The Grafana dashboard and the alerts ask for what a real process says, and a real Prometheus answers each of them."""

import json
import re
import ssl
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.programs import program
from tests.promql import asked_by
from tests.system.harness import REPOSITORY, Proxy, free_port, until
from tests.system.namerd_sources import StandIn
from tests.system.peers import Backend, Client
from tests.tls_files import Authority

CONTRIB = REPOSITORY / "contrib"
DASHBOARD = json.loads((CONTRIB / "grafana/linkerd-tcp.json").read_text())
ALERTS = yaml.safe_load((CONTRIB / "prometheus/alerts.yml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
OF_PROMETHEUS = {"job", "instance"}
"""Labels that a scrape gets there."""

QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
ALERTED = [pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES]


# Something to scrape


class Scraped:
    """A proxy with workers on which everything that the families are about goes on, until the end."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._busy = gevent.spawn(self._go_on)

    def close(self) -> None:
        self._busy.kill()

    def _go_on(self) -> None:
        while True:
            for index in range(6):
                with (
                    suppress(OSError, AssertionError, EOFError),
                    Client(("127.0.0.1", self.proxy.port(index=index))) as client,
                ):
                    client.ask()
            with suppress(OSError), Client(("127.0.0.1", self.proxy.port(index=5))) as client:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.wrap_socket(client.sock).close()
            gevent.sleep(0.05)

    def samples(self) -> dict[str, list[dict[str, str]]]:
        """The labels of each series by its name."""
        found: dict[str, list[dict[str, str]]] = {}
        for family in text_string_to_metric_families(self.proxy.get("/metrics")[1]):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(dict(sample.labels))
        return found


def configuration(namerd: StandIn, folder: Path) -> dict[str, Any]:
    key, cert = Authority(folder / "tls").sign("localhost")
    names = ("web", "none", "empty", "far", "dead")
    servers: list[dict[str, Any]] = [{"port": 0, "dstName": f"/svc/{name}"} for name in names]
    tls = {"defaultIdentity": {"privateKey": str(key), "certs": [str(cert)]}}
    return {
        "admin": {"port": 0},
        "workers": 2,
        "accessLog": {"path": "/dev/full"},
        "namers": [
            {"kind": "io.l5d.fs", "rootDir": "disco"},
            {"kind": "io.l5d.namerd", "baseUrl": namerd.base_url, "namespace": "default"},
        ],
        "routers": [
            {
                "label": "default",
                "dtab": "/svc => /#/io.l5d.fs; /svc/far => /#/io.l5d.namerd/svc/web;",
                "servers": [*servers, {"port": 0, "dstName": "/svc/web", "tls": tls}],
                "client": {"failFast": {"maxConsecutiveFailures": 1, "failurePenaltySecs": 1}},
            }
        ],
    }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    with ExitStack() as stack:
        backend = stack.enter_context(Backend("b"))
        dead = f"127.0.0.1:{free_port()}"
        namerd = stack.enter_context(StandIn(folder / "namerd"))
        namerd.route("web", "web")
        namerd.addresses("web", backend.address)
        proxy = Proxy(folder, configuration(namerd, folder))
        proxy.endpoints("web.yml", [backend.address, dead])
        proxy.endpoints("empty.yml", [])
        proxy.endpoints("dead.yml", [dead])
        stack.enter_context(proxy)
        running = Scraped(proxy)
        stack.callback(running.close)
        until("connections through namerd", lambda: proxy.metric("l5d_namerd_request_seconds_count") > 0)
        proxy.endpoints("dead.yml", "nonsense: [")
        until("a refused file", lambda: proxy.metric("l5d_namer_errors_total") > 0)
        until("lost lines", lambda: proxy.metric("l5d_log_dropped_lines_total") > 0)
        until("ejections", lambda: proxy.metric("l5d_balancer_ejections_total") > 0)
        until("failed handshakes", lambda: proxy.metric("l5d_srv_tls_failures_total") > 0)
        yield running


# What is asked for is there


@pytest.mark.parametrize("expression", [*QUERIES, *ALERTED])
def test_every_metric_and_label_is_in_a_real_scrape(expression: str, scraped: Scraped) -> None:
    samples = scraped.samples()
    asked = asked_by(expression)
    assert asked
    for metric, matched, _ in asked:
        assert metric in samples, metric
        labels = {name for series in samples[metric] for name in series}
        assert set(matched) - labels - OF_PROMETHEUS == set(), metric
        for name, value in matched.items():
            assert value is None or value in {series.get(name) for series in samples[metric]}, (metric, name, value)
    every = {name for metric, _, _ in asked for series in samples[metric] for name in series}
    assert asked[0].listed - every - OF_PROMETHEUS == set()


def test_every_family_is_on_the_dashboard_or_known_not_to_be(scraped: Scraped) -> None:
    shown = {each.metric for panel in PANELS for target in panel["targets"] for each in asked_by(target["expr"])}
    left = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in scraped.samples() if name.startswith("l5d_")}
    left -= {re.sub(r"_bucket$", "", name) for name in shown}
    assert left == {
        "l5d_balancer_attempts_total",  # those that succeed and those that fail are shown
        "l5d_namer_updates_total",
        "l5d_route_created_total",
        "l5d_route_found_total",
        "l5d_srv_greenlets",
    }


# A real Prometheus


class Prometheus:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **fields: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(fields)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.get("/api/v1/query", query='count_over_time(up{job="linkerd-tcp"}[10s]) > 8')["result"])
        return False


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    port = free_port()
    scrape = {"job_name": "linkerd-tcp", "scrape_interval": "250ms", "static_configs": [{"targets": [target]}]}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_timeout": "250ms", "scrape_interval": "250ms"},
                "rule_files": [str(CONTRIB / "prometheus/alerts.yml")],
                "scrape_configs": [scrape],
            }
        )
    )
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        command.append(f"--web.listen-address=127.0.0.1:{port}")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        asked = Prometheus(port)
        until("Prometheus has scraped", asked.answers, 30)
        yield asked
    finally:
        process.kill()
        process.wait(10)


def filled(expression: str) -> str:
    """With the variables as Grafana puts them in when all is chosen."""
    for name in sorted(VARIABLES, key=len, reverse=True):
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", "2s")


def test_every_panel_has_something_to_show_every_list_to_choose_and_every_alert_is_loaded(
    scraped: Scraped, tmp_path: Path
) -> None:
    with prometheus(tmp_path, scraped.proxy.admin_url.removeprefix("http://")) as asked:
        empty = [
            query.id for query in QUERIES if not asked.get("/api/v1/query", query=filled(query.values[0]))["result"]
        ]
        assert empty == []
        for name, variable in VARIABLES.items():
            if variable["type"] == "query":
                asks = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                assert asks, name
                assert asked.get(f"/api/v1/label/{asks[2]}/values", **{"match[]": filled(asks[1])}), name
        rules = [rule for group in asked.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
        assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []


# The files themselves


def test_promtool_takes_the_rules_and_their_tests_pass() -> None:
    promtool = program("promtool")
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [promtool, *arguments], cwd=CONTRIB / "prometheus", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    tests = yaml.safe_load((CONTRIB / "prometheus/alerts_test.yml").read_text())["tests"]
    tested = {rule["alertname"] for test in tests for rule in test["alert_rule_test"] if rule["exp_alerts"]}
    assert tested == {rule["alert"] for rule in RULES}
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 80


def test_a_label_in_an_annotation_is_one_that_the_alert_has(scraped: Scraped) -> None:
    samples = scraped.samples()
    for rule in RULES:
        asked = asked_by(rule["expr"])
        has = {name for series in samples[asked[0].metric] for name in series} | OF_PROMETHEUS
        grouped = re.search(r"sum by \(([^)]*)\)", rule["expr"])
        if grouped:
            has = {name.strip() for name in grouped[1].split(",")}
        said = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert said <= has, rule["alert"]

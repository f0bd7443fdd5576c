"""Every metric family of the public interface is there, once, with its labels, and what it says is so."""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path as FilePath
from types import SimpleNamespace

import gevent
import pytest
import requests
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from linkerd_tcp import __version__
from linkerd_tcp.admin.process import DESCRIPTORS, ProcessCollector, count_descriptors
from linkerd_tcp.errors import Cause, StartError
from linkerd_tcp.figures import DURATION_BOUNDS_SECS
from linkerd_tcp.metrics import PART_LINES, AppCollector, exposition
from linkerd_tcp.namerd.figures import NamerdFigures
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.record import Record
from linkerd_tcp.transition import Reloaded
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually

FAMILIES = {
    "l5d_srv_accepts": ("counter", {"rt", "srv"}),
    "l5d_srv_closes": ("counter", {"rt", "srv"}),
    "l5d_srv_active": ("gauge", {"rt", "srv"}),
    "l5d_srv_max_concurrency": ("gauge", {"rt", "srv"}),
    "l5d_srv_greenlets": ("gauge", {"rt", "srv"}),
    "l5d_srv_waiters": ("gauge", {"rt", "srv"}),
    "l5d_srv_connect_latency_seconds": ("histogram", {"rt", "srv"}),
    "l5d_srv_stream_rx_bytes": ("counter", {"rt", "srv"}),
    "l5d_srv_stream_tx_bytes": ("counter", {"rt", "srv"}),
    "l5d_srv_stream_duration_seconds": ("histogram", {"rt", "srv"}),
    "l5d_srv_failures": ("counter", {"rt", "srv", "cause"}),
    "l5d_srv_connect_failures": ("counter", {"rt", "srv", "cause"}),
    "l5d_srv_tls_handshake_seconds": ("histogram", {"rt", "srv"}),
    "l5d_srv_tls_failures": ("counter", {"rt", "srv", "cause"}),
    "l5d_tls_certificate_not_after_timestamp_seconds": ("gauge", {"identity"}),
    "l5d_route_found": ("counter", {"rt"}),
    "l5d_route_created": ("counter", {"rt"}),
    "l5d_route_errors": ("counter", {"rt", "cause"}),
    "l5d_balancer_waiters": ("gauge", {"rt", "dst"}),
    "l5d_balancer_attempts": ("counter", {"rt", "dst"}),
    "l5d_balancer_connects": ("counter", {"rt", "dst"}),
    "l5d_balancer_connect_latency_seconds": ("histogram", {"rt", "dst"}),
    "l5d_balancer_unavailable": ("counter", {"rt", "dst"}),
    "l5d_balancer_ejections": ("counter", {"rt", "dst"}),
    "l5d_balancer_revivals": ("counter", {"rt", "dst"}),
    "l5d_balancer_endpoints": ("gauge", {"rt", "dst", "state"}),
    "l5d_balancer_connections": ("gauge", {"rt", "dst", "state"}),
    "l5d_balancer_connect_failures": ("counter", {"rt", "dst", "cause"}),
    "l5d_namer_updates": ("counter", {"namer"}),
    "l5d_namer_errors": ("counter", {"namer", "cause"}),
    "l5d_namer_last_good_timestamp_seconds": ("gauge", {"namer"}),
    "l5d_namer_stale_watches": ("gauge", {"namer"}),
    "l5d_namerd_request_seconds": ("histogram", {"namer"}),
    "l5d_config_last_reload_success": ("gauge", set()),
    "l5d_log_dropped_lines": ("counter", {"log", "reason"}),
    "l5d_build_info": ("gauge", {"version", "python", "gevent"}),
}
"""The parser drops `_total`."""

WEB = "/#/io.l5d.static/web"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def app(endpoint: Endpoint, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApp]:
    monkeypatch.setattr("linkerd_tcp.server.QUEUE_LINGER_SECS", 0.0)
    made = FakeApp([f"127.0.0.1:{endpoint.port}"], tmp_path)
    yield made
    made.close()


def scrape(app: FakeApp) -> dict[str, Metric]:
    """The families of one scrape, by name; a family that came twice is an error."""
    text = b"".join(exposition([AppCollector(app)])).decode()
    assert text.endswith("\n")
    families = list(text_string_to_metric_families(text))
    named = {family.name: family for family in families}
    assert len(named) == len(families)
    return named


def value(app: FakeApp, name: str, **labels: str) -> float | None:
    """That of the one series that has these labels, among others; None if there is none."""
    samples = [
        sample
        for family in scrape(app).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(samples) <= 1, samples
    return samples[0].value if samples else None


def refuse(app: FakeApp, endpoint: Endpoint) -> None:
    """One connection of each kind of failure: no route, no endpoint that answers, a namer in trouble, namerd slow."""
    endpoint.close()
    client = socket.create_connection(app.servers[0].local, timeout=5)
    client.recv(1)
    client.close()
    app.routers["default"].figures.errors[Cause.NOT_FOUND] = 1
    app.namers[0].figures = figures = NamerdFigures(last_good_at=1.0)
    figures.error("unreadable")
    figures.requests.observe(2.0)
    app.servers[0].figures.tls_failures["plaintext"] = 1
    expiring = SimpleNamespace(not_after=datetime(2030, 1, 1, tzinfo=UTC))
    app.servers[0].terminator = SimpleNamespace(  # type: ignore[assignment]
        identities={"default": expiring}, close=lambda: None
    )


def test_every_family_is_there_with_its_type_and_labels(app: FakeApp, endpoint: Endpoint) -> None:
    app.connect().close()
    refuse(app, endpoint)
    eventually(lambda: app.servers[0].figures.failures)
    found = scrape(app)
    assert {name: family.type for name, family in found.items()} == {name: kind for name, (kind, _) in FAMILIES.items()}
    for name, (_, labels) in FAMILIES.items():
        assert found[name].documentation
        assert {frozenset(sample.labels) - {"le"} for sample in found[name].samples} == {frozenset(labels)}, name


def test_counts_are_those_of_the_connections(app: FakeApp, endpoint: Endpoint) -> None:
    srv = app.servers[0].label
    first, second = app.connect(), app.connect()
    first.close()
    eventually(lambda: app.servers[0].figures.closes)
    assert value(app, "l5d_srv_accepts_total", rt="default", srv=srv) == 2
    assert value(app, "l5d_srv_closes_total", rt="default", srv=srv) == 1
    assert value(app, "l5d_srv_active", rt="default", srv=srv) == 1
    assert value(app, "l5d_srv_waiters", rt="default", srv=srv) == 0
    assert value(app, "l5d_srv_max_concurrency", rt="default", srv=srv) == 100_000
    assert value(app, "l5d_srv_greenlets", rt="default", srv=srv) >= value(app, "l5d_srv_active", rt="default", srv=srv)
    assert value(app, "l5d_srv_connect_latency_seconds_count", rt="default", srv=srv) == 2
    assert value(app, "l5d_srv_stream_duration_seconds_count", rt="default", srv=srv) == 1
    assert value(app, "l5d_route_created_total", rt="default") == 1
    assert value(app, "l5d_route_found_total", rt="default") == 1
    assert value(app, "l5d_balancer_connects_total", rt="default", dst=WEB) == 2
    assert value(app, "l5d_balancer_endpoints", dst=WEB, state="available") == 1
    assert value(app, "l5d_balancer_endpoints", dst=WEB, state="failed") == 0
    assert value(app, "l5d_balancer_connections", dst=WEB, state="open") == 1
    assert value(app, "l5d_namer_last_good_timestamp_seconds", namer="/io.l5d.static") is not None
    second.close()


def test_failures_are_counted_under_their_cause(app: FakeApp, endpoint: Endpoint) -> None:
    refuse(app, endpoint)
    eventually(lambda: app.servers[0].figures.failures)
    assert value(app, "l5d_srv_failures_total", cause="refused") == 1
    assert value(app, "l5d_srv_connect_failures_total", cause="refused") == 1
    assert value(app, "l5d_balancer_connect_failures_total", dst=WEB, cause="refused") >= 1
    assert value(app, "l5d_route_errors_total", rt="default", cause="not_found") == 1
    assert value(app, "l5d_namer_errors_total", namer="/io.l5d.static", cause="unreadable") == 1


def test_stale_watches_are_counted(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    assert value(app, "l5d_namer_stale_watches", namer="/io.l5d.static") == 0
    rows = [WatchState("/web", "bound", 1, 1.0, "away", 2.0), WatchState("/other", "bound", 1, 1.0)]
    monkeypatch.setattr(app.namers[0], "watches", lambda: rows)
    assert value(app, "l5d_namer_stale_watches", namer="/io.l5d.static") == 1


def test_bytes_count_while_they_flow_and_stay_when_the_connection_ends(app: FakeApp) -> None:
    client = app.connect()
    client.sendall(b"0123456789")
    assert client.recv(10, socket.MSG_WAITALL) == b"0123456789"
    assert value(app, "l5d_srv_stream_rx_bytes_total") == value(app, "l5d_srv_stream_tx_bytes_total") == 10
    client.close()
    eventually(lambda: not app.book.open)
    assert value(app, "l5d_srv_stream_rx_bytes_total") == value(app, "l5d_srv_stream_tx_bytes_total") == 10


def test_bytes_of_a_connection_that_ends_while_they_are_added_up_count_once(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in the record and in the server's sum they would go down at the next scrape, a reset to Prometheus."""
    server = app.servers[0]
    ending = app.book.begin("default", server.label, ("127.0.0.1", 1))
    last = app.book.begin("default", server.label, ("127.0.0.1", 2))
    ending.rx_bytes, last.rx_bytes = 100, 1

    class Turns:
        rests = 0

        def rest(self) -> None:
            Turns.rests += 1
            if Turns.rests == 2:  # after the first record was read
                app.book.end(ending)
                server.figures.rx_bytes += 100

    monkeypatch.setattr("linkerd_tcp.metrics.Turns", Turns)
    assert value(app, "l5d_srv_stream_rx_bytes_total") == 101
    assert value(app, "l5d_srv_stream_rx_bytes_total") == 101
    app.book.open.clear()


def test_a_histogram_is_cumulative_with_the_bounds_of_the_interface(app: FakeApp) -> None:
    latency = app.servers[0].figures.connect_latency
    for seconds in (0.0001, 0.0005, 0.3, 100.0):
        latency.observe(seconds)
    samples = scrape(app)["l5d_srv_connect_latency_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert [float(bound) for bound in buckets] == [*DURATION_BOUNDS_SECS, float("inf")]
    assert (buckets["0.0005"], buckets["0.25"], buckets["0.5"], buckets["60.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert value(app, "l5d_srv_connect_latency_seconds_sum") == pytest.approx(100.3006)


def bind(app: FakeApp, *names: str) -> None:
    """Routes to bound names with an address each."""
    router = app.routers["default"]
    for name in names:
        addr = Var(Bound((Address("127.0.0.1", 1),)))
        route = router._find_or_bind(Path(("svc", name)))
        route._update(Leaf(BoundName(Path(("#", "io.l5d.fs", name)), addr)))


def test_series_go_with_their_binding(app: FakeApp) -> None:
    bind(app, "a", "b")
    assert value(app, "l5d_balancer_attempts_total", dst="/#/io.l5d.fs/a") == 0
    router = app.routers["default"]
    router._evict(router._bound[Path.read("/svc/a")])
    assert value(app, "l5d_balancer_attempts_total", dst="/#/io.l5d.fs/a") is None
    assert value(app, "l5d_balancer_attempts_total", dst="/#/io.l5d.fs/b") == 0


def test_one_name_with_different_client_settings_is_one_series(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    bind(app, "a")
    router = app.routers["default"]
    (balancer,) = router.balancers()
    balancer.figures.attempts, balancer.figures.connect_failures[Cause.TIMEOUT] = 3, 2
    balancer.figures.connect_latency.observe(0.1)
    monkeypatch.setattr(type(router), "balancers", lambda _: [balancer, balancer])
    assert value(app, "l5d_balancer_attempts_total") == 6
    assert value(app, "l5d_balancer_connect_failures_total") == 4
    assert value(app, "l5d_balancer_endpoints", state="available") == 2
    assert value(app, "l5d_balancer_connect_latency_seconds_count") == 2
    assert value(app, "l5d_balancer_connect_latency_seconds_sum") == pytest.approx(0.2)


def test_a_family_written_in_parts_is_one_family(app: FakeApp) -> None:
    names = [f"n{number}" for number in range(PART_LINES + 1)]
    bind(app, *names)
    family = scrape(app)["l5d_balancer_connect_latency_seconds"]
    counts = [sample for sample in family.samples if sample.name.endswith("_count")]
    assert {sample.labels["dst"] for sample in counts} == {f"/#/io.l5d.fs/{name}" for name in names}


def test_labels_of_any_text_are_escaped(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    label = 'a"b\\c\nd{e="f"}'
    router = app.routers["default"]
    monkeypatch.setattr(app.running, "routers", {label: router})
    assert value(app, "l5d_route_found_total", rt=label) == 0


def test_names_of_strangers_that_are_not_bound_make_no_series(app: FakeApp) -> None:
    before = len(list(exposition([AppCollector(app)])))
    for number in range(100):
        app.routers["default"]._find_or_bind(Path(("svc", f"stranger{number}")))
    assert len(list(exposition([AppCollector(app)]))) == before
    assert "stranger" not in b"".join(exposition([AppCollector(app)])).decode()


def test_build_and_reload_are_said(app: FakeApp) -> None:
    assert value(app, "l5d_build_info", version=__version__, gevent=gevent.__version__) == 1
    assert value(app, "l5d_config_last_reload_success") == 1
    app.last_reload = Reloaded.now(StartError("no"))
    assert value(app, "l5d_config_last_reload_success") == 0


def test_the_process_is_measured() -> None:
    metrics = {metric.name: metric.samples[0].value for metric in ProcessCollector(12.5).collect()}
    assert metrics["process_start_time_seconds"] == 12.5
    assert metrics["process_cpu_seconds"] > 0
    assert 0 < metrics["process_open_fds"] < metrics["process_max_fds"]
    assert metrics["process_resident_memory_bytes"] > 1_000_000


def test_descriptors_are_counted_alike_with_and_without_the_help_of_the_kernel(tmp_path: FilePath) -> None:
    pipes = [os.pipe() for _ in range(50)]
    try:
        known = count_descriptors()
        # Without /proc in its name it is counted entry by entry, the descriptor of the listing included.
        (tmp_path / "fd").symlink_to(DESCRIPTORS)
        assert abs(count_descriptors(str(tmp_path / "fd")) - known) <= 2
        assert known >= 100
    finally:
        for pair in pipes:
            os.close(pair[0])
            os.close(pair[1])


def test_a_scrape_over_http_has_the_process_and_python_too(app: FakeApp) -> None:
    text = requests.get(f"{app.url}/metrics", timeout=5).text
    names = {family.name for family in text_string_to_metric_families(text)}
    assert set(FAMILIES) <= names
    assert {"process_open_fds", "process_cpu_seconds", "python_info", "python_gc_collections"} <= names


def test_open_records_of_a_server_that_is_gone_disturb_nobody(app: FakeApp) -> None:
    record: Record = app.book.begin("gone", "10.0.0.1:1", ("127.0.0.1", 1))
    record.rx_bytes = 100
    assert value(app, "l5d_srv_stream_rx_bytes_total") == 0
    app.book.end(record)

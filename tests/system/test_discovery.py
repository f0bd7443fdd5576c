"""Endpoint files that change under traffic."""

import itertools
from pathlib import Path

import gevent
import pytest

from tests.system.harness import Proxy, config, until
from tests.system.peers import Backend, Held, Visits, backends, visit


def test_an_edited_endpoint_file_moves_new_connections(tmp_path: Path) -> None:
    with backends(2) as (old, new), Proxy(tmp_path, config(), wait=False) as proxy:
        proxy.endpoints("default.yml", [old.address])
        proxy.wait_until_serving()
        assert set(visit(proxy.address, 5)) == {"b0"}
        with Held(proxy.address, 3) as held:
            proxy.endpoints("default.yml", [new.address])
            until("new connections reach the new one", lambda: set(visit(proxy.address)) == {"b1"}, secs=2)
            assert set(visit(proxy.address, 10)) == {"b1"}
            before = held.answers
            until("those that were open go on", lambda: held.answers > before + 10)
        assert set(held.names) == {"b0"}


@pytest.mark.alone
def test_a_finished_write_reaches_new_connections_within_200_ms(tmp_path: Path) -> None:
    with backends(2) as pair, Proxy(tmp_path, config(), wait=False) as proxy:
        proxy.endpoints("default.yml", [pair[0].address])
        proxy.wait_until_serving()
        visit(proxy.address)
        for backend in (pair[1], pair[0]) * 5:
            proxy.endpoints("default.yml", [backend.address])
            gevent.sleep(0.2)  # the promise itself
            assert set(visit(proxy.address)) == {backend.name}


def test_an_endpoint_file_that_cannot_be_read_keeps_the_last_good_one(tmp_path: Path) -> None:
    with Backend("good") as good, Proxy(tmp_path, config(), wait=False) as proxy:
        path = proxy.endpoints("default.yml", [good.address])
        proxy.wait_until_serving()
        visit(proxy.address)

        def errors() -> float:
            return proxy.metric("l5d_namer_errors_total")

        for spoil in (
            lambda: path.write_text("- {host: [\n"),
            lambda: path.write_text("- port: 70000\n"),
            lambda: path.write_bytes(b"\xff\xfe\x00"),
        ):
            before = errors()
            spoil()
            until("the error is counted", lambda before=before: errors() > before)
            assert set(visit(proxy.address, 5)) == {"good"}
        assert "default.yml" in proxy.log
        [watch] = [w for w in proxy.get_json("/namers.json")["namers"][0]["watches"] if w["name"] == "/default"]
        assert watch["error"]
        proxy.endpoints("default.yml", [good.address])

        def error() -> object:
            return proxy.get_json("/namers.json")["namers"][0]["watches"][0]["error"]

        until("the error is over", lambda: error() is None)


def test_a_removed_file_is_a_name_not_found_until_it_is_back(tmp_path: Path) -> None:
    with Backend("good") as good, Proxy(tmp_path, config(), wait=False) as proxy:
        path = proxy.endpoints("default.yml", [good.address])
        proxy.wait_until_serving()
        with Held(proxy.address, 2) as held:
            path.unlink()
            until("it is gone", lambda: _not_found(proxy))
            before = held.answers
            until("open ones go on", lambda: held.answers > before + 5)
        proxy.endpoints("default.yml", [good.address])
        until("it is back", lambda: not _not_found(proxy))


def _not_found(proxy: Proxy) -> bool:
    try:
        visit(proxy.address)
    except OSError:
        return proxy.closed(1)[-1]["cause"] == "not_found"
    return False


def test_churn_every_10_ms_cuts_nothing_and_fails_no_new_connection(tmp_path: Path) -> None:
    with backends(4) as every, Proxy(tmp_path, config(), wait=False) as proxy:
        proxy.endpoints("default.yml", [every[0].address])
        proxy.wait_until_serving()
        sets = itertools.cycle([every[:1], every[1:3], every[3:], every[:2], every])
        with Held(proxy.address, 30) as held, Visits(proxy.address, 300) as visits:
            for number, some in zip(range(500), sets, strict=False):
                weight = 1 + number % 3 / 2
                text = "".join(f"- {{host: 127.0.0.1, port: {b.port}, weight: {weight}}}\n" for b in some)
                proxy.endpoints("default.yml", text)
                gevent.sleep(0.01)
        assert visits.made > 1000
        assert set(visits.names) == {"b0", "b1", "b2", "b3"}
        assert held.answers > 30 * 20
        lines = proxy.closed(visits.made + 30)
        assert {line["cause"] for line in lines} <= {"client_closed", "endpoint_closed"}

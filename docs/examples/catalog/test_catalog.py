import json
from collections.abc import Iterator

import pytest
from gevent.pywsgi import WSGIServer
from linkerd_tcp_catalog import CatalogConfig, CatalogNamer

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import Address, Bound, Failed
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.nametree import NEG, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, NamerContract, eventually

WEB = Path(("web", "rest"))


class Source:
    """Serves whatever `body` and `status` are at the moment."""

    def __init__(self) -> None:
        self.body = json.dumps({"web": ["10.0.0.1:80"]}).encode()
        self.status = "200 OK"
        self.server = WSGIServer(("127.0.0.1", 0), self.answer, log=None)
        self.server.start()

    def answer(self, _environ, start_response):
        start_response(self.status, [])
        return [self.body]


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.server.stop()


@pytest.fixture
def namer(source: Source) -> Iterator[CatalogNamer]:
    url = f"http://127.0.0.1:{source.server.server_port}/catalog.json"
    config = CatalogConfig.model_validate({"kind": "com.example.catalog", "url": url, "periodSecs": 0.1})
    made = config.build(NamerContext(FakeHosts()))
    made.start()
    yield made
    made.close()


class TestContract(NamerContract):
    @pytest.fixture
    def known(self) -> Path:
        return WEB


def test_it_is_installed() -> None:
    assert registry.load("namer", "com.example.catalog") is CatalogConfig


def test_a_new_document_is_followed_and_a_bad_one_changes_nothing(namer: CatalogNamer, source: Source) -> None:
    watch = namer.lookup(WEB)
    eventually(lambda: list(leaves(watch.value)))
    [name] = leaves(watch.value)
    source.body = b'{"web": ["10.0.0.2:80"]}'
    eventually(lambda: name.addr.value == Bound((Address("10.0.0.2", 80),)))
    for source.status, source.body in (("500 No", b""), ("200 OK", b"<html>"), ("200 OK", b"[" * 100_000)):
        errors = sum(namer.figures.errors.values())
        eventually(lambda errors=errors: sum(namer.figures.errors.values()) > errors)
        [row] = namer.watches()
        assert row.is_stale
        assert (row.state, row.addresses) == ("bound", 1)
    source.body = b"{}"
    eventually(lambda: watch.value == NEG)
    watch.close()


def test_what_was_never_known_fails_with_the_reason(namer: CatalogNamer, source: Source) -> None:
    source.status = "503 Not now"
    watch = namer.lookup(WEB)
    eventually(lambda: isinstance(watch.value, Failed))
    assert "503" in watch.value.cause
    watch.close()

"""Transformers as the file has them."""

from pathlib import Path as File
from typing import Any

import pytest

from linkerd_tcp.config.load import effective, parse_config
from linkerd_tcp.errors import ConfigError
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.testing import FakeHosts
from linkerd_tcp.transformers import port
from linkerd_tcp.transformers.build import asks_namers, build_namer
from linkerd_tcp.transformers.localhost import LocalhostConfig
from tests.transformers.conftest import Inner, Options

ROUTERS = "routers: [{label: a, servers: [{port: 0, dstName: /a}]}]"


def of_namer(transformers: str) -> str:
    return f"namers: [{{kind: io.l5d.static, services: {{}}, transformers: {transformers}}}]\n{ROUTERS}"


def of_interpreter(transformers: str) -> str:
    return ROUTERS.replace("label: a", f"label: a, interpreter: {{transformers: {transformers}}}")


@pytest.mark.parametrize("where", [of_namer, of_interpreter])
def test_every_kind_is_read_in_order(where: Any) -> None:
    text = where(
        "[{kind: io.l5d.port, port: 80}, {kind: io.l5d.localhost}, {kind: io.l5d.specificHost, host: '127.1'}, "
        "{kind: io.l5d.const, path: /$/nil}, {kind: io.l5d.replace, path: /$/inet/80, prefix: /x}]"
    )
    config = parse_config(text, "f", File())
    owner = config.namers[0] if config.namers else config.routers[0].interpreter
    assert [str(each.id_prefix) for each in owner.transformers] == [
        "/%/io.l5d.port/80",
        "/%/io.l5d.localhost",
        "/%/io.l5d.specificHost",
        "/%/io.l5d.const",
        "/%/x",
    ]
    assert parse_config(text, "f", File()) == config
    shown = effective(config)
    assert {"kind": "io.l5d.specificHost", "prefix": None, "host": "127.0.0.1"} in (
        shown["namers"][0] if config.namers else shown["routers"][0]["interpreter"]
    )["transformers"]


@pytest.mark.parametrize(
    ("transformers", "told"),
    [
        ("[{kind: io.l5d.port}]", "transformers[0].port: required key is missing"),
        ("[{kind: io.l5d.port, port: 0}]", "transformers[0].port: must be at least 1"),
        ("[{kind: io.l5d.port, port: 70000}]", "transformers[0].port: must be at most 65535"),
        ("[{kind: io.l5d.prot, port: 80}]", 'unknown transformer kind "io.l5d.prot" (did you mean io.l5d.port?)'),
        ("[{kind: io.l5d.k8s.daemonset}]", 'unknown transformer kind "io.l5d.k8s.daemonset" (linkerd 1 has it;'),
        ("[{kind: io.l5d.localhost, host: x}]", "transformers[0].host: unknown key"),
        ("[{kind: io.l5d.specificHost, host: web.test}]", "transformers[0].host: expected an IP address"),
        ("[{kind: io.l5d.const, path: nil}]", "transformers[0].path: expected a path such as"),
        ("[{kind: io.l5d.const, path: /svc/web}]", "transformers[0].path: expected a concrete name, /#/... or /$/..."),
        ("[{kind: io.l5d.replace}]", "transformers[0].path: required key is missing"),
        ("io.l5d.port", "transformers: expected a list"),
        ("[io.l5d.localhost]", "expected a mapping with a kind"),
        (f"[{', '.join(['{kind: io.l5d.localhost}'] * 17)}]", "transformers: "),
    ],
)
def test_wrong_ones_are_refused_in_words(transformers: str, told: str) -> None:
    for where in (of_namer, of_interpreter):
        with pytest.raises(ConfigError) as raised:
            parse_config(where(transformers), "f", File())
        [problem] = raised.value.problems
        assert told in problem


def test_a_namer_s_transformer_asks_no_namer() -> None:
    text = "[{kind: io.l5d.port, port: 80}, {kind: io.l5d.replace, path: /#/io.l5d.static/web}]"
    parse_config(of_interpreter(text), "f", File())
    with pytest.raises(ConfigError, match=r"namers\[0\].transformers: io.l5d.replace cannot ask for /#"):
        parse_config(of_namer(text), "f", File())


def test_an_interpreter_that_asks_elsewhere_still_depends_on_the_namers_that_its_transformer_asks() -> None:
    for path, asks in (("/#/io.l5d.fs/gateway", True), ("/$/inet/1.2.3.4/5", False)):
        config = parse_config(of_interpreter(f"[{{kind: io.l5d.replace, path: {path}}}]"), "f", File())

        class Elsewhere:
            uses_namers = False
            transformers = config.routers[0].interpreter.transformers

        assert asks_namers(Elsewhere) is asks
    assert asks_namers(parse_config(ROUTERS, "f", File()).routers[0].interpreter)


def test_one_that_cannot_be_built_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Closing:
        def close(self) -> None:
            closed.append("localhost")

    def cannot(*_args: object) -> None:
        raise OSError("cannot")

    inner = Inner()
    monkeypatch.setattr(LocalhostConfig, "build", lambda *_: Closing())
    monkeypatch.setattr(port.PortConfig, "build", cannot)
    transformers = [{"kind": "io.l5d.localhost"}, {"kind": "io.l5d.port", "port": 1}]
    with pytest.raises(OSError, match="cannot"):
        build_namer(
            Options.model_validate({"transformers": transformers, "made": inner}), NamerContext(FakeHosts()), inner
        )
    assert (closed, inner.closed) == (["localhost"], 1)

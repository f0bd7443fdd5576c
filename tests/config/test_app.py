"""Every default of the configuration, as docs/configuration.md lists them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.fields import FrozenDict
from linkerd_tcp.config.load import effective, parse_config

MINIMAL = "routers: [{label: default, servers: [{port: 7474, dstName: /svc/web}]}]"

SOCKET_OPTIONS = {
    "noDelay": True,
    "keepAlive": {"idleSecs": 60, "intervalSecs": 10, "count": 6},
    "backlog": 4096,
    "userTimeoutMs": 0,
}

SERVER = {
    "port": 7474,
    "ip": "127.0.0.1",
    "dstName": "/svc/web",
    "identifier": None,
    "detectTimeoutMs": 10_000,
    "tls": None,
    "proxyProtocol": None,
    "allow": [],
    "deny": [],
    "connectTimeoutMs": 5_000,
    "idleTimeoutMs": 3_600_000,
    "halfCloseTimeoutMs": 60_000,
    "connectionLifetimeSecs": None,
    "connectionLifetimeJitter": 0.1,
    "connectionLifetimeGraceSecs": 30.0,
    "maxConcurrency": 100_000,
    "socketOptions": SOCKET_OPTIONS,
}

CLIENT = {
    "kind": "io.l5d.global",
    "connectTimeoutMs": 1_000,
    "maxAttempts": 5,
    "maxWaiters": 1_000_000,
    "minConnections": 0,
    "failFast": {"maxConsecutiveFailures": 5, "failurePenaltySecs": 60.0},
    "loadBalancer": {"kind": "p2c"},
    "tls": None,
    "proxyProtocol": None,
    "socketOptions": SOCKET_OPTIONS,
}

DEFAULTS = {
    "admin": {
        "ip": "127.0.0.1",
        "port": 9989,
        "graceSecs": 10.0,
        "drainDelaySecs": 0.0,
        "metricsIntervalSecs": 10.0,
        "tls": None,
        "allowedHosts": [],
        "readOnly": False,
    },
    "workers": 1,
    "bufferSizeBytes": 65_536,
    "accessLog": None,
    "namerd": None,
    "namers": [],
    "routers": [
        {
            "label": "default",
            "dtab": "",
            "interpreter": {"kind": "default", "transformers": []},
            "bindingTimeoutMs": 10_000,
            "bindingCache": {"paths": 1_000, "idleTtlSecs": 600.0},
            "servers": [SERVER],
            "client": CLIENT,
        }
    ],
}


def read(text: str) -> AppConfig:
    return parse_config(text, "f", Path.cwd())


def test_every_default_is_the_documented_one() -> None:
    assert effective(read(MINIMAL)) == DEFAULTS


def test_writing_the_defaults_out_changes_nothing() -> None:
    assert (
        effective(AppConfig.model_validate({**DEFAULTS, "routers": [{**DEFAULTS["routers"][0], "dtab": None}]}))
        == DEFAULTS
    )  # type: ignore[index]


@pytest.mark.parametrize(
    ("section", "defaults"),
    [
        ("namers: [{kind: io.l5d.static, services: {}}]", {"prefix": "/io.l5d.static"}),
        ("namers: [{kind: io.l5d.fs, rootDir: .}]", {"prefix": "/io.l5d.fs", "watch": "auto", "pollIntervalMs": 1000}),
    ],
)
def test_namers_defaults_are_the_documented_ones(section: str, defaults: dict[str, Any]) -> None:
    shown = effective(read(f"{section}\n{MINIMAL}"))["namers"][0]
    assert shown | defaults == shown


def test_namerd_and_the_access_log_have_the_documented_defaults() -> None:
    text = f"namerd: {{storage: {{kind: io.l5d.inMemory}}}}\naccessLog: {{path: '-'}}\n{MINIMAL}"
    shown = effective(read(text))
    storage = {"kind": "io.l5d.inMemory", "namespaces": {}}
    assert shown["namerd"] == {"ip": "127.0.0.1", "port": 4180, "allowedHosts": [], "storage": storage}
    assert shown["accessLog"] == {"path": "-", "format": "json"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("false", None),
        ("true", SOCKET_OPTIONS["keepAlive"]),
        ("{count: 3}", {"idleSecs": 60, "intervalSecs": 10, "count": 3}),
    ],
)
def test_keep_alive_is_on_or_off_or_a_mapping(written: str, meant: Any) -> None:
    text = MINIMAL.replace("dstName", f"socketOptions: {{keepAlive: {written}}}, dstName")
    assert effective(read(text))["routers"][0]["servers"][0]["socketOptions"]["keepAlive"] == meant


def test_no_lifetime_is_written_as_none() -> None:
    text = MINIMAL.replace("dstName", "connectionLifetimeSecs: none, dstName")
    assert read(text).routers[0].servers[0].connection_lifetime_secs is None


def test_a_configuration_is_never_changed() -> None:
    config = read(f"namers: [{{kind: io.l5d.static, services: {{web: []}}}}]\n{MINIMAL}")
    with pytest.raises(ValueError, match="frozen"):
        config.workers = 2  # type: ignore[misc]
    services = config.namers[0].services
    assert isinstance(services, FrozenDict)
    with pytest.raises(TypeError, match="never changed"):
        services["web"] = ()
    assert services == {"web": ()}


def test_lines_moved_are_no_difference_and_values_are() -> None:
    assert read(f"# moved\n\n{MINIMAL}") == read(MINIMAL)
    assert read(MINIMAL.replace("7474", "7475")) != read(MINIMAL)


@pytest.mark.parametrize(
    ("router", "dtab"),
    [
        ("", "/svc => /#/io.l5d.static ; /svc => /#/other ;"),
        (", dtab: /svc => /a", "/svc => /a"),
        (", interpreter: {kind: default}", "/svc => /#/io.l5d.static ; /svc => /#/other ;"),
        (", interpreter: {kind: io.l5d.namerd.http, baseUrl: 'http://h:1'}", ""),
    ],
)
def test_a_router_without_a_dtab_gets_every_namer_below_svc(router: str, dtab: str) -> None:
    namers = "namers: [{kind: io.l5d.static, services: {}}, {kind: io.l5d.static, prefix: /other, services: {}}]"
    config = read(f"{namers}\n{MINIMAL.replace('}]}]', '}]' + router + '}]')}")
    entries = [str(entry) for entry in config.routers[0].effective_dtab(config.namers)]
    assert [entry.replace(" ", "") for entry in entries] == [
        entry.strip().replace(" ", "") for entry in dtab.split(";") if entry.strip()
    ]


def test_dst_name_is_the_static_identifier() -> None:
    for key in ("dstName: /svc/web", "identifier: {kind: io.l5d.static, path: /svc/web}"):
        server = read(MINIMAL.replace("dstName: /svc/web", key)).routers[0].servers[0]
        assert str(server.identifier_config().path) == "/svc/web"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["/a", "io.l5d.static", "p2c", "", "none"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DEFAULTS, *SERVER, *CLIENT, "x"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.data())
def test_a_wrong_value_anywhere_is_refused_and_never_breaks_the_reader(data: st.DataObject) -> None:
    import json

    from linkerd_tcp.errors import ConfigError

    document = json.loads(json.dumps({**DEFAULTS, "namers": [{"kind": "io.l5d.static", "services": {"web": ["a:1"]}}]}))
    outer: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(outer) if isinstance(outer, dict) else range(len(outer))))
        inner = outer[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        outer = inner
    outer[key] = data.draw(VALUES)
    try:
        config = read(json.dumps(document).replace("NaN", ".nan").replace("Infinity", ".inf"))
    except ConfigError as error:
        assert all(line.startswith("f:") for line in error.problems)  # noqa: PT017
    else:
        assert config == config.model_copy()
        json.dumps(effective(config))

from typing import Any

import pytest

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.naming.path import Path


def settings(client: dict[str, Any], dst: str = "/svc/web", bound: str = "/#/io.l5d.fs/web") -> ClientSettings:
    server = {"port": 1, "dstName": "/a"}
    config = AppConfig.model_validate({"routers": [{"label": "a", "servers": [server], "client": client}]})
    return config.routers[0].client.settings_for(Path.read(dst), Path.read(bound))


def static(*configs: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "io.l5d.static", "configs": list(configs)}


def test_a_global_client_holds_for_every_name() -> None:
    client = {"maxAttempts": 7}
    assert settings(client).max_attempts == 7
    assert settings(client) == settings({"kind": "io.l5d.global", **client}, "/x", "/$/nil")


@pytest.mark.parametrize(
    ("prefix", "matches"),
    [
        ("/svc/web", True),
        ("/svc", True),  # linkerd-tcp had this the wrong way round
        ("/", True),
        ("/svc/*", True),
        ("/*/web", True),
        ("/svc/{name}", True),
        ("/svc/we", False),
        ("/svc/web/x", False),
        ("/#/io.l5d.fs", True),
        ("/#/io.l5d.fs/web", True),
        ("/#/io.l5d.static", False),
        ("/io.l5d.fs", False),
    ],
)
def test_a_prefix_matches_names_that_begin_with_it(prefix: str, matches: bool) -> None:
    assert settings(static({"prefix": prefix, "maxAttempts": 7})).max_attempts == (7 if matches else 5)


@pytest.mark.parametrize(
    ("bound", "attempts"), [("/$/inet/127.1/80", 7), ("/%/io.l5d.port/80/#/x", 8), ("/#/io.l5d.fs/web", 5)]
)
def test_prefixes_of_concrete_names_are_of_the_bound_name(bound: str, attempts: int) -> None:
    client = static({"prefix": "/$/inet/*/80", "maxAttempts": 7}, {"prefix": "/%/io.l5d.port", "maxAttempts": 8})
    assert settings(client, "/svc/web", bound).max_attempts == attempts


def test_of_several_that_match_later_ones_win_key_by_key() -> None:
    client = static(
        {"prefix": "/", "connectTimeoutMs": 1, "maxAttempts": 1, "failFast": {"maxConsecutiveFailures": 1}},
        {"prefix": "/svc", "connectTimeoutMs": 2, "failFast": {"failurePenaltySecs": 2}},
        {"prefix": "/other", "connectTimeoutMs": 3},
    )
    merged = settings(client)
    assert (merged.connect_timeout_ms, merged.max_attempts, merged.max_waiters) == (2, 1, 1_000_000)
    assert (merged.fail_fast.max_consecutive_failures, merged.fail_fast.failure_penalty_secs) == (5, 2)


def test_a_default_that_is_written_out_wins_over_an_earlier_value() -> None:
    client = static({"prefix": "/", "maxAttempts": 1}, {"prefix": "/svc", "maxAttempts": 5})
    assert settings(client).max_attempts == 5


def test_a_key_with_nothing_after_it_wins_over_nothing() -> None:
    client = static({"prefix": "/", "maxAttempts": 1}, {"prefix": "/svc", "maxAttempts": None})
    assert settings(client).max_attempts == 1


def test_captures_are_put_into_the_dns_name() -> None:
    client = static({"prefix": "/svc/{service}", "tls": {"dnsName": "{service}.{zone}.example"}})
    tls = settings(client).tls
    assert tls is not None
    assert tls.dns_name == "web.{zone}.example"
    assert settings(client) != settings(client, "/svc/other")


def test_equal_settings_are_one_key_of_a_table() -> None:
    client = static({"prefix": "/svc", "maxAttempts": 7})
    table = {settings(client): 1}
    assert table[settings(client, "/svc/other")] == 1
    assert settings(client, "/x") not in table
    assert settings(client, "/x") == settings(static())

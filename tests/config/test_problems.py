"""The words for one wrong value each."""

from pathlib import Path

import pytest

from linkerd_tcp.config.load import parse_config
from linkerd_tcp.config.origin import dotted
from linkerd_tcp.config.words import say
from linkerd_tcp.errors import ConfigError


def words(server: str) -> str:
    """What is said of a server's one wrong key."""
    with pytest.raises(ConfigError) as raised:
        parse_config(f"routers: [{{label: a, servers: [{{dstName: /a, port: 1, {server}}}]}}]", "f", Path.cwd())
    (line,) = raised.value.problems
    place, _, told = line.partition(": ")
    assert place.startswith("f:1:")
    key, _, told = told.partition(": ")
    assert key.startswith("routers[0].servers[0].")
    return told


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("maxConcurrency: '5'", 'expected a whole number, got "5" (write it without quotes)'),
        ("maxConcurrency: 0777", 'expected a whole number, got "0777" (write 777, or 0o777 if it is octal)'),
        ("maxConcurrency: 0989", 'expected a whole number, got "0989" (write 989)'),
        ("maxConcurrency: 000", 'expected a whole number, got "000" (write 0)'),
        ("maxConcurrency: 1_000", 'expected a whole number, got "1_000" (write 1000)'),
        ("maxConcurrency: 5.0", "expected a whole number, got the number 5.0 (write 5)"),
        ("maxConcurrency: 5.5", "expected a whole number, got the number 5.5"),
        ("maxConcurrency: true", "expected a whole number, got true"),
        ("maxConcurrency: [5]", "expected a whole number, got a list"),
        ("maxConcurrency: 0", "must be at least 1, got 0"),
        ("maxConcurrency: many", 'expected a whole number, got "many"'),
        ("idleTimeoutMs: 5s", 'expected a whole number, got "5s" (a bare number: the unit is in the key\'s name)'),
        ("idleTimeoutMs: -1", "must be at least 0, got -1"),
        ("connectTimeoutMs: 0", "must be at least 1, got 0"),
        ("connectionLifetimeSecs: 0", "must be more than 0, got 0"),
        ("connectionLifetimeSecs: .inf", "expected a finite number, got the number inf"),
        ("connectionLifetimeSecs: 1e300", "must be at most 3153600000, got 1e+300"),
        ("connectionLifetimeJitter: 2", "must be at most 1, got 2"),
        ("socketOptions: {noDelay: yes}", 'expected true or false, got "yes" (write true)'),
        ("socketOptions: {noDelay: 1}", "expected true or false, got the number 1"),
        ("socketOptions: 5", "expected a mapping (lines of `key: value`), got the number 5"),
        ("socketOptions: {nodelay: true}", "unknown key (did you mean noDelay?)"),
        ("allow: 10.0.0.0/8", 'expected a list, got "10.0.0.0/8" (write ["10.0.0.0/8"])'),
        ("allow: [10.0.0.0/33]", 'expected a network such as 10.0.0.0/8 or fd00::/8, got "10.0.0.0/33"'),
        ("ip: '*'", 'expected an IP address such as 127.0.0.1 or ::1, got "*" (0.0.0.0 is every one)'),
        ("ip: 1.2", "expected an IP address such as 127.0.0.1, got the number 1.2 (put it in quotes)"),
        ("timeoutMs: 5", "unknown key (write connectTimeoutMs or idleTimeoutMs)"),
        ("Ip: x", "unknown key (did you mean ip?)"),
        ("zzz: 1", "unknown key"),
        ("proxyProtocol: {trusted: []}", "expected at least one item, got an empty list"),
        ("proxyProtocol: {}", "required key is missing (networks whose header is believed)"),
        ("tls: {defaultIdentity: {certs: [c]}}", "required key is missing (PEM file of the private key)"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected_and_meant(server: str, told: str) -> None:
    assert words(server) == told


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "nothing"),
        (True, "true"),
        ([], "a list"),
        ({}, "a mapping"),
        (10**500, "the number with very many digits"),
        ('a"b\\c\n\x1b', '"a\\"b\\\\c\\n\\x1b"'),
        ("x" * 100, '"' + "x" * 59 + '…"'),
    ],
)
def test_values_are_shown_short_and_printable(value: object, said: str) -> None:
    assert say(value) == said


def test_paths_of_keys_are_written_as_one_would_look_them_up() -> None:
    assert dotted(("routers", 0, "servers", 1, "port")) == "routers[0].servers[1].port"
    assert dotted(("tls", "identities", "*.example.com", "certs", 0)) == 'tls.identities["*.example.com"].certs[0]'
    assert dotted(("a\nb",)) == '["a\\nb"]'

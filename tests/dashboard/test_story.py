"""Every end of a connection is told in a sentence that has its facts, and its story says what happened when."""

from typing import Any

import pytest

from linkerd_tcp.dashboard.explanation import MOST_STEPS, ends, told, way
from linkerd_tcp.dashboard.phrases import MOST_CHARS
from linkerd_tcp.dashboard.story import Story, tell, text
from linkerd_tcp.dashboard.verdicts import SAYS, verdict
from linkerd_tcp.envelope import Envelope, PeerCertificate
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.path import Path
from linkerd_tcp.record import MAX_ATTEMPTS_KEPT, Record, ServerName, as_json
from linkerd_tcp.wire.proxy_protocol import Authority, UniqueId, build_v2
from linkerd_tcp.wire.proxy_protocol import parse as parse_header
from linkerd_tcp.wire.proxy_protocol_header import Parsed

E1, E2, E3 = "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"
SOURCE = "10.1.2.3:51022"
SERVER = "127.0.0.1:7474"

HOSTILE = "<img src=x onerror=alert(1)>\u202e\u2066\x1b[31m\n'\"&\u2028"
SEEN = "<img src=x onerror=alert(1)>\\u202e\\u2066\\x1b[31m\\n'\"&\\u2028"
"""As it is to be read: nothing in it moves the text around it."""


def connection(
    cause: Cause | None,
    detail: str | None = None,
    *,
    path: str | None = "/svc/web",
    bound: str | None = "/#/io.l5d.fs/web",
    endpoint: str | None = None,
    tried: tuple[tuple[str, Cause | None, float], ...] = (),
    age: float = 8.0,
    connected_at: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """As /connections.json has it. `cause` None is one that is open."""
    record = Record(0x1F, "default", ServerName.of(SERVER, more.pop("identifier", None)), ("10.1.2.3", 51022))
    record.path = None if path is None else Path.read(path)
    record.bound = None if bound is None or path is None else Path.read(bound)
    record.endpoint = endpoint
    for each in tried:
        record.attempt(*each)
    record.rx_bytes, record.tx_bytes = more.pop("moved", (0, 0))
    record.explanation = more.pop("explanation", None)
    if cause is not None:
        record.end(cause, detail)
        record.close()
        record.duration = age
    shape = as_json(record)
    shape["ageSecs"] = age
    if shape["identified"] is not None:
        shape["identified"]["at"] = 0.001
    if connected_at is not None:
        shape["steps"].append({"at": connected_at, "what": "connected"})
    return shape | more


def streamed(cause: Cause, detail: str | None = None, **more: Any) -> dict[str, Any]:
    """One that was connected."""
    given = {"endpoint": E1, "tried": ((E1, None, 0.0004),), "connected_at": 0.002, "moved": (1_200, 80_000), **more}
    return connection(cause, detail, **given)


STREAMED = ("8.0 s", "1\u202f200 B in", "80.0 kB out")
NEG = {
    "type": "delegate",
    "path": "/svc/web",
    "delegate": {"type": "neg", "path": "/#/io.l5d.fs/web", "dentry": {"prefix": "/svc", "dst": "/#/io.l5d.fs"}},
}

ENDS: list[tuple[Cause, dict[str, Any], tuple[str, ...]]] = [
    (Cause.CLIENT_CLOSED, streamed(Cause.CLIENT_CLOSED), ("the client ended it first", *STREAMED)),
    (Cause.ENDPOINT_CLOSED, streamed(Cause.ENDPOINT_CLOSED), ("the endpoint ended it first", *STREAMED)),
    (Cause.CLIENT_CLOSED, streamed(Cause.CLIENT_CLOSED, moved=(0, 0)), ("without a byte either way",)),
    (
        Cause.CLIENT_CLOSED,
        streamed(Cause.CLIENT_CLOSED, tried=((E2, Cause.REFUSED, 0.0003), (E1, None, 0.1))),
        (f"Before {E1} took it, {E2} refused after 0.3 ms",),
    ),
    (
        Cause.TIMEOUT,
        connection(Cause.TIMEOUT, f"{E1}: no answer in time", tried=((E1, Cause.TIMEOUT, 1.0),)),
        (E1, "did not answer within 1.0 s"),
    ),
    (
        Cause.TIMEOUT,
        connection(Cause.TIMEOUT, "x", tried=tuple((each, Cause.TIMEOUT, 1.0) for each in (E1, E2, E3, E1))),
        ("None of 4 attempts", E1, E2, E3, "no answer within 1.0 s", "and 1 more"),
    ),
    (
        Cause.TIMEOUT,
        connection(Cause.TIMEOUT, f"{E1}: no answer to the request for TLS", endpoint=E1, tried=((E1, None, 0.1),)),
        ("no answer to the request for TLS", E1),
    ),
    (
        Cause.TIMEOUT,
        streamed(Cause.TIMEOUT, "endpoint: Connection timed out"),
        (f"The endpoint {E1} was lost", "Connection timed out", *STREAMED),
    ),
    (
        Cause.REFUSED,
        connection(Cause.REFUSED, f"{E1}: connection refused: nothing", tried=((E1, Cause.REFUSED, 0.0003),)),
        (f"{E1} actively refused after 0.3 ms", "nothing"),
    ),
    (
        Cause.RESET,
        streamed(Cause.RESET, "client: Connection reset by peer"),
        (f"The client {SOURCE} broke the connection", "reset by peer", *STREAMED),
    ),
    (
        Cause.RESET,
        streamed(Cause.RESET, "endpoint: Connection reset by peer"),
        (f"The endpoint {E1} broke the connection", *STREAMED),
    ),
    (
        Cause.RESET,
        connection(Cause.RESET, "client: Connection reset by peer", path=None),
        (f"The client {SOURCE} left", "before it was connected"),
    ),
    (
        Cause.RESET,
        connection(Cause.RESET, f"{E1}: reset while connecting", tried=((E1, Cause.RESET, 0.01),)),
        (E1, "broke the connection off after 10 ms"),
    ),
    (
        Cause.UNREACHABLE,
        connection(Cause.UNREACHABLE, f"{E1}: no route to that network", tried=((E1, Cause.UNREACHABLE, 0.01),)),
        (E1, "cannot be reached", "no route to that network"),
    ),
    (
        Cause.NO_ENDPOINT,
        connection(Cause.NO_ENDPOINT, "/#/io.l5d.fs/web: all 3 endpoints are drained or have weight 0"),
        ("/svc/web", "/#/io.l5d.fs/web", "no endpoint", "all 3 endpoints are drained"),
    ),
    (
        Cause.NO_ENDPOINT,
        connection(Cause.NO_ENDPOINT, "/svc/web leads to $ (empty) in the dtab", bound=None),
        ("/svc/web has no endpoint", "leads to $ (empty) in the dtab"),
    ),
    (
        Cause.NOT_FOUND,
        connection(Cause.NOT_FOUND, "/svc/web is not found", bound=None, explanation=NEG),
        ("No rule of the dtab leads anywhere for /svc/web", "/#/io.l5d.fs/web", "/svc => /#/io.l5d.fs", "not found"),
    ),
    (
        Cause.NOT_FOUND,
        connection(Cause.NOT_FOUND, "/svc/web is not found", bound=None),
        ("No rule of the dtab leads anywhere for /svc/web",),
    ),
    (
        Cause.NOT_FOUND,
        connection(Cause.NOT_FOUND, "/#/io.l5d.fs/web: there is no such name"),
        ("/svc/web leads to /#/io.l5d.fs/web", "knows no such name"),
    ),
    (
        Cause.BINDING,
        connection(Cause.BINDING, "/svc/web cannot be bound: web.yml line 3: no port", bound=None),
        ("/svc/web cannot be resolved", "web.yml line 3: no port"),
    ),
    (
        Cause.BINDING,
        connection(Cause.BINDING, "/svc/web leads to ! (fail) in the dtab", bound=None),
        ("/svc/web", "leads to ! (fail) in the dtab"),
    ),
    (
        Cause.PENDING,
        connection(Cause.PENDING, "/svc/web was not bound in time; /namers.json says", bound=None, age=10.001),
        ("/svc/web was not resolved in time", "waited 10 s"),
    ),
    (
        Cause.DENIED,
        connection(Cause.DENIED, "10.1.2.3 is in deny (10.0.0.0/8)", path=None),
        (SOURCE, SERVER, "10.1.2.3 is in deny (10.0.0.0/8)"),
    ),
    (
        Cause.LIMIT,
        connection(Cause.LIMIT, "/svc/web: maxWaiters (100) connections wait for its binding", bound=None),
        ("A limit was reached", "maxWaiters (100)"),
    ),
    (
        Cause.TLS,
        connection(Cause.TLS, "TLS handshake with the client failed: it does not speak TLS (HTTP_REQUEST)", path=None),
        (f"The TLS handshake with the client {SOURCE} failed", "it does not speak TLS"),
    ),
    (
        Cause.TLS,
        connection(Cause.TLS, f"{E1}: TLS: expired: its certificate expired", tried=((E1, Cause.TLS, 0.02),)),
        (E1, "not in TLS", "its certificate expired"),
    ),
    (Cause.TLS, streamed(Cause.TLS, "client: bad record"), (f"The client {SOURCE} broke TLS", "bad record", *STREAMED)),
    (
        Cause.PROXY_PROTOCOL,
        connection(Cause.PROXY_PROTOCOL, f"{SOURCE}: PROXY header: byte 0: found b'GET '", path=None),
        ("A PROXY header was expected", "found b'GET '"),
    ),
    (
        Cause.IDENTIFY,
        connection(Cause.IDENTIFY, "the client asked for no server name; the identifier has no default", path=None),
        (f"{SOURCE} did not say where it wants to go", "no server name", "no default"),
    ),
    (
        Cause.IDLE,
        streamed(Cause.IDLE, "no byte either way for 3600 s (idleTimeoutMs)"),
        ("idle", "3600 s (idleTimeoutMs)", *STREAMED),
    ),
    (
        Cause.HALF_CLOSE,
        streamed(Cause.HALF_CLOSE, "the client had ended its side, and the endpoint was silent for 60 s"),
        ("half open", "the client had ended its side", "silent for 60 s", *STREAMED),
    ),
    (
        Cause.LIFETIME,
        streamed(Cause.LIFETIME, "at a quiet moment"),
        ("connectionLifetimeSecs", "at a quiet moment", *STREAMED),
    ),
    (Cause.SHUTDOWN, streamed(Cause.SHUTDOWN), ("This process stopped", "grace was over", *STREAMED)),
    (
        Cause.SHUTDOWN,
        connection(Cause.SHUTDOWN, "ended while it was being connected"),
        ("This process stopped while it was being connected",),
    ),
    (Cause.CLOSED_BY_ADMIN, streamed(Cause.CLOSED_BY_ADMIN), ("Somebody closed it from the admin server", *STREAMED)),
    (
        Cause.OTHER,
        connection(Cause.OTHER, "its greenlet failed; the log has the traceback"),
        ("its greenlet failed", "traceback"),
    ),
    (Cause.OTHER, connection(Cause.OTHER), ("It failed", "nothing was noted of why")),
]


@pytest.mark.parametrize(("cause", "shape", "facts"), ENDS)
def test_a_sentence_says_what_happened_with_the_facts_of_that_connection(
    cause: Cause, shape: dict[str, Any], facts: tuple[str, ...]
) -> None:
    assert shape["cause"] == cause
    sentence = verdict(shape).sentence
    assert [fact for fact in facts if fact not in sentence] == [], sentence
    assert sentence.endswith(".")
    assert ".." not in sentence
    assert "None" not in sentence.replace("None of", "")


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_told_whatever_else_is_known(cause: Cause) -> None:
    assert cause in {known for known, _, _ in ENDS}, "the facts of it are proved above"
    assert SAYS.keys() == set(Cause)
    bare = connection(cause, path=None)
    full = streamed(cause, "a detail", explanation=NEG, tried=((E1, Cause.OTHER, 0.1), (E2, None, 0.2)))
    for shape in (bare, full):
        story = tell(shape)
        assert len(story.verdict) > 20
        assert story.lines[0].at == 0
        assert story.lines[-1].text.startswith("ended: ")
        assert next(iter(text(shape, story))) == f"Connection 0-1f: {cause.replace('_', ' ')}"


def test_what_went_wrong_comes_with_what_to_do() -> None:
    for cause in Cause:
        if cause.is_failure and cause is not Cause.CLOSED_BY_ADMIN:
            assert verdict(streamed(cause, "a detail")).advice
    assert verdict(streamed(Cause.CLIENT_CLOSED)).advice == ""
    assert "answered nothing" in verdict(streamed(Cause.CLIENT_CLOSED, moved=(5, 0))).advice


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (connection(None, path=None), "has not said yet where it wants to go"),
        (connection(None, bound=None), "not known yet where that leads"),
        (connection(None, tried=((E1, Cause.REFUSED, 0.1),)), "being connected to an endpoint of /svc/web, bound to"),
        (connection(None, endpoint=E1, tried=((E1, None, 0.1),), connected_at=0.2), f"is connected to {E1}"),
    ],
)
def test_one_that_is_open_says_how_far_it_has_come(shape: dict[str, Any], words: str) -> None:
    story = tell(shape)
    assert words in story.verdict
    assert story.word in ("open", "connecting")
    assert "open" in story.lines[-1].text or "not connected yet" in story.lines[-1].text


# -- what happened when


def lines(story: Story) -> list[tuple[float | None, str]]:
    return [(None if line.at is None else round(line.at, 6), line.text) for line in story.lines]


def test_the_story_has_each_step_with_its_time() -> None:
    shape = streamed(
        Cause.CLIENT_CLOSED,
        tried=((E2, Cause.REFUSED, 0.0005), (E3, Cause.TIMEOUT, 1.0), (E1, None, 0.002)),
        connected_at=1.5,
        identifier="io.l5d.sni",
    )
    assert lines(tell(shape, ("/svc => /#/io.l5d.fs",))) == [
        (0.0, f"accepted from {SOURCE} on {SERVER}"),
        (0.001, "identified as /svc/web by io.l5d.sni"),
        (0.4975, "bound to /#/io.l5d.fs/web (by /svc => /#/io.l5d.fs) after waiting 496 ms"),
        (0.4975, f"tried {E2}: refused after 0.5 ms"),
        (0.498, f"tried {E3}: no answer within 1.0 s"),
        (1.498, f"tried {E1}: connected in 2.0 ms"),
        (8.0, "ended: the client ended it first, 1\u202f200 B in, 80.0 kB out"),
    ]


def test_one_destination_for_all_is_said_and_a_wait_for_nothing_is_not() -> None:
    told_lines = [line for _, line in lines(tell(streamed(Cause.CLIENT_CLOSED)))]
    assert told_lines[1] == "goes to /svc/web, as all that come to this server"
    assert told_lines[2] == "bound to /#/io.l5d.fs/web"


def test_a_connection_that_was_kept_ready_took_no_time() -> None:
    assert f"tried {E1}: a connection that was kept ready" in [
        line.text for line in tell(streamed(Cause.CLIENT_CLOSED, tried=((E1, None, 0.0),))).lines
    ]


def test_attempts_beyond_those_that_are_kept_have_no_times() -> None:
    shape = connection(Cause.REFUSED, "x", tried=((E1, Cause.REFUSED, 0.01),) * (MAX_ATTEMPTS_KEPT + 5))
    tries = [line for line in tell(shape).lines if line.text.startswith("tried")]
    assert len(tries) == MAX_ATTEMPTS_KEPT
    assert {line.at for line in tries} == {None}
    assert any("perhaps more" in line.text for line in tell(shape).lines)


def with_envelope(envelope: Envelope, *steps: str) -> dict[str, Any]:
    record = Record(1, "default", SERVER, envelope.source)
    record.envelope = envelope
    for step in steps:
        record.step(step)
    record.path = Path.read("/svc/web")
    record.end(Cause.CLIENT_CLOSED, None)
    record.close()
    return as_json(record)


def header(*tlvs: Any) -> Parsed:
    parsed = parse_header(build_v2(("192.0.2.7", 4711), ("192.0.2.1", 443), tlvs))
    assert isinstance(parsed, Parsed)
    return parsed


def test_tls_that_ends_here_is_told_with_what_was_agreed() -> None:
    peer = PeerCertificate("caller", ("a.example", "b.example"), ("spiffe://x/y",))
    envelope = Envelope(("10.1.2.3", 51022), ("127.0.0.1", 7474), 0.0).with_tls(
        "www.example.com", "h2", peer, ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    )
    told_lines = [line.text for line in tell(with_envelope(envelope, "request for TLS", "TLS")).lines]
    assert told_lines[1] == "the client asked for TLS in plain text first, and was told yes"
    assert told_lines[2] == (
        'TLS 1.3, TLS_AES_256_GCM_SHA384, SNI "www.example.com", ALPN "h2", '
        'certificate of "a.example", "b.example", "spiffe://x/y"'
    )


def test_a_proxy_header_is_told_with_what_it_said() -> None:
    envelope = Envelope(
        ("192.0.2.7", 4711), ("192.0.2.1", 443), 0.0, proxy=header(Authority("db.example"), UniqueId(b"\x01\x02"))
    )
    told_lines = [line.text for line in tell(with_envelope(envelope, "PROXY header")).lines]
    assert told_lines[:2] == [
        f"accepted on {SERVER}",
        'PROXY header, version 2: the client is 192.0.2.7:4711; it asked for "db.example"; unique id 0102',
    ]


# -- strangers' texts


def hostile_connections() -> list[dict[str, Any]]:
    """With that text in each place that a stranger's may be in."""
    peer = PeerCertificate(HOSTILE, (), ())
    tls = Envelope(("10.1.2.3", 1), ("127.0.0.1", 2), 0.0).with_tls(HOSTILE, HOSTILE, peer, (HOSTILE, HOSTILE))
    proxied = Envelope(("10.1.2.3", 1), ("127.0.0.1", 2), 0.0, proxy=header(Authority(HOSTILE), UniqueId(b"\x00<b>")))
    shapes = [with_envelope(tls, "TLS"), with_envelope(proxied, "PROXY header"), with_envelope(tls, HOSTILE)]
    said = {"version": HOSTILE, "verified": False, "cn": HOSTILE, "cipher": None}
    shapes.append(shapes[1] | {"proxyHeader": {**shapes[1]["proxyHeader"], "alpn": HOSTILE, "ssl": said}})
    tree = {"type": "exception", "path": HOSTILE, "message": HOSTILE, "dentry": {"prefix": HOSTILE, "dst": HOSTILE}}
    for cause in Cause:
        for shape in (connection(cause, HOSTILE), streamed(cause, f"client: {HOSTILE}"), connection(None, bound=None)):
            wrong = {"error": HOSTILE, "endpoint": HOSTILE, "seconds": 0.1}
            shapes.append(
                shape | dict.fromkeys(("path", "bound", "router", "source"), HOSTILE) | {"attempts": [wrong, wrong]}
            )
            shapes.append(shape | {"path": HOSTILE, "bound": None, "explanation": tree})
    return shapes


def test_nothing_of_a_strangers_moves_or_hides_what_is_told() -> None:
    for shape in hostile_connections():
        story = tell(shape, (HOSTILE,))
        said = [*text(shape, story), story.verdict, story.advice, *(line.text for line in story.lines)]
        for line in said:
            # A space of ours between digits is the only one that is not plain.
            assert line.replace("\u202f", " ").isprintable(), line
    assert SEEN in tell(streamed(Cause.RESET, f"client: {HOSTILE}")).verdict


def test_a_long_text_is_cut() -> None:
    shape = connection(Cause.IDENTIFY, "x" * 100_000, path=None)
    assert len(tell(shape).verdict) < MOST_CHARS + 200


# -- delegations


def leaf(path: str, prefix: str, number: int) -> dict[str, Any]:
    addr = {"type": "bound", "addrs": [{"ip": "127.0.0.1", "port": n, "meta": {}} for n in range(number)], "meta": {}}
    return {
        "type": "leaf",
        "path": path,
        "dentry": {"prefix": prefix, "dst": path},
        "bound": {"addr": addr, "id": path, "path": "/"},
    }


TREE = {
    "type": "alt",
    "path": "/svc/web",
    "alt": [
        {"type": "neg", "path": "/#/a/web", "dentry": {"prefix": "/svc", "dst": "/#/a"}},
        {
            "type": "delegate",
            "path": "/b/web",
            "dentry": {"prefix": "/svc", "dst": "/b"},
            "delegate": {
                "type": "union",
                "path": "/b/web",
                "dentry": {"prefix": "/b", "dst": "3 * /#/c & /#/d"},
                "union": [
                    {"weight": 3.0, "tree": leaf("/#/c/web", "/b", 2)},
                    {"weight": 1.0, "tree": leaf("/#/d/web", "/b", 1)},
                ],
            },
        },
        {"type": "fail", "path": "!"},
    ],
}


def test_a_delegation_is_told_in_words() -> None:
    assert [(step.depth, step.text) for step in told(TREE)] == [
        (0, "/svc/web: the first of these that is found"),
        (1, "/#/a/web (by /svc => /#/a): not found"),
        (1, "/b/web (by /svc => /b)"),
        (2, "/b/web (by /b => 3 * /#/c & /#/d): one of these for each connection, by weight"),
        (3, "weight 3: /#/c/web (by /b => /#/c/web): found, 2 addresses"),
        (3, "weight 1: /#/d/web (by /b => /#/d/web): found, 1 address"),
        (1, "!: fails, and nothing else is tried"),
    ]
    assert ends(TREE)[0] == "/#/a/web (by /svc => /#/a): not found"
    assert ends(TREE)[-1] == "and more"
    assert ends({"type": "neg", "path": "/svc/web"}) == ["no entry of the dtab matches it"]


def test_the_entries_that_lead_to_a_name_are_those_above_it() -> None:
    assert way(TREE, "/#/d/web") == ["/svc => /b", "/b => 3 * /#/c & /#/d", "/b => /#/d/web"]
    assert way(TREE, "/#/nowhere") == []


def test_a_delegation_of_any_size_is_told_in_a_few_lines() -> None:
    many = {"type": "alt", "path": "/svc", "alt": [{"type": "neg", "path": f"/{n}"} for n in range(9_000)]}
    assert len(told(many)) == MOST_STEPS + 1
    assert len(ends(many)) == 4
    deep: dict[str, Any] = {"type": "neg", "path": "/end"}
    for _ in range(5_000):
        deep = {"type": "delegate", "path": "/deep", "delegate": deep}
    assert told(deep)[-1].text == "and more, which the delegator shows"


@pytest.mark.parametrize(
    ("addr", "words"),
    [
        ({"type": "neg"}, "knows no such name"),
        ({"type": "pending"}, "not known yet"),
        ({"type": "failed", "cause": "down"}, "cannot be known: down"),
        ({"type": "bound", "addrs": []}, "no address"),
    ],
)
def test_a_name_without_addresses_says_why(addr: dict[str, Any], words: str) -> None:
    (step,) = told({"type": "leaf", "path": "/#/a", "bound": {"addr": addr, "id": "/#/a", "path": "/"}})
    assert words in step.text

"""What needs attention is said: what, since when, why, and what is done about it; the worst first, and it stays put."""

from typing import Any

import pytest

from linkerd_tcp.dashboard.attention import MOST_ITEMS, attention, items
from linkerd_tcp.dashboard.cells import moment
from linkerd_tcp.dashboard.frame import Frame
from tests.dashboard.frames import (
    HOSTILE,
    NOW,
    WEB,
    certificate,
    destination,
    endpoint,
    failed,
    frame,
    namer,
    router,
    series,
    server,
    worker,
)


def text(cell: Any) -> str:
    return cell if isinstance(cell, str) else cell["text"]


def sentences(of: Frame) -> list[str]:
    """As they are drawn."""
    rows = attention(of, items(of))["attention"]
    return [
        " ".join(
            f"{text(row['what'])} {row['happened']} {text(row['since'])}{row['why']} {row['does']}".split()
        ).replace(" :", ":")
        for row in rows
    ]


def states(of: Frame) -> list[str]:
    return [row["mark"]["state"] for row in attention(of, items(of))["attention"]]


def calm(of: Frame) -> str:
    return text(attention(of, items(of))["calm"])


A, B = endpoint("10.0.0.1:8080"), endpoint("10.0.0.2:8080")


def test_a_failed_endpoint_is_named_with_when_why_and_what_is_done() -> None:
    broken = frame(router(destination(A, B, failed())))
    (sentence,) = sentences(broken)
    assert sentence == (
        "10.0.0.3:8080 of /#/io.l5d.fs/web failed at 02:09:41 UTC (4 min ago) after 5 failures in a row: connection "
        "refused. One connection tries it again in 41 s. Traffic goes to the other 2 of 3 endpoints."
    )
    (row,) = attention(broken, items(broken))["attention"]
    assert row["since"]["value"] == moment(NOW - 240)
    assert row["what"]["href"].startswith("#a")
    assert states(broken) == ["bad"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"probing": True}, "One connection is trying it now."),
        ({"nextTryAt": NOW - 3}, "The next connection tries it."),
        ({"nextTryAt": None}, "The next connection tries it."),
        ({"drained": True}, "It is drained: nothing tries it."),
        ({"weight": 0.0}, "It has weight 0: nothing tries it."),
        ({"nextTryAt": NOW + 0.2}, "One connection tries it again in 1 s."),
        ({"failedSince": NOW - 3 * 86_400}, "failed at 2026-01-28 02:13:41 UTC (3 d ago) after"),
        ({"consecutiveFailures": 1}, "after 1 failure: connection refused."),
        ({"lastError": None}, "it is not known why."),
    ],
)
def test_how_a_failed_endpoint_is_tried_again(more: dict[str, Any], words: str) -> None:
    (sentence,) = sentences(frame(router(destination(A, B, failed(**more)))))
    assert words in sentence


def test_traffic_goes_only_to_who_gets_any() -> None:
    idle = endpoint("10.0.0.4:8080", weight=0.0)
    (sentence,) = sentences(frame(router(destination(A, idle, failed()))))
    assert sentence.endswith("Traffic goes to the other 1 of 3 endpoints.")
    (sentence,) = sentences(frame(router(destination(A, failed()))))
    assert sentence.endswith("Traffic goes to the other endpoint.")


def test_many_failed_endpoints_are_one_sentence() -> None:
    down = [failed(f"10.0.1.{n}:80", failedSince=NOW - 100 + n, nextTryAt=NOW + 10 + n) for n in range(5)]
    down[4]["lastError"] = "10.0.1.4:80: no answer in time"
    (sentence,) = sentences(frame(router(destination(A, *down))))
    assert sentence == (
        "5 of 6 endpoints of /#/io.l5d.fs/web failed, the first at 02:12:01 UTC (100 s ago): 10.0.1.0:80, 10.0.1.1:80, "
        "10.0.1.2:80 and 2 more; connection refused (4), no answer in time (1). One connection tries the first of them "
        "again in 10 s. Traffic goes to the other 1."
    )


def test_a_destination_without_an_available_endpoint_comes_first_and_says_that_it_fails_open() -> None:
    (sentence, other) = sentences(
        frame(router(destination(A, failed("10.0.0.9:80"), bound="/#/a"), destination(failed(), bound="/#/z")))
    )
    assert sentence.startswith("/#/z of router default has no available endpoint: the last failed at 02:09:41 UTC")
    assert ": 10.0.0.3:8080; connection refused." in sentence
    assert sentence.endswith("Until one is back, connections go to the failed ones all the same.")
    assert other.startswith("10.0.0.9:80 of /#/a")


@pytest.mark.parametrize(
    ("addr", "words", "state"),
    [
        ({"type": "bound"}, "discovery names no address for it. New connections fail (no_endpoint)", "bad"),
        ({"type": "neg"}, "discovery knows no such name any more. New connections fail (not_found)", "bad"),
        ({"type": "failed", "cause": "503"}, "it could not be looked up: 503. New connections fail (binding)", "bad"),
        ({"type": "pending"}, "discovery has not answered yet. New connections wait", "warn"),
    ],
)
def test_a_destination_without_addresses_says_what_becomes_of_connections(
    addr: dict[str, str], words: str, state: str
) -> None:
    empty = frame(router(destination(addr=addr)))
    (sentence,) = sentences(empty)
    assert words in sentence
    assert states(empty) == [state]


def test_a_destination_with_all_endpoints_drained_is_in_trouble() -> None:
    (sentence,) = sentences(frame(router(destination(endpoint(drained=True), endpoint("10.0.0.2:80", weight=0.0)))))
    assert "has no endpoint to use: all of them are drained or have weight 0. New connections fail" in sentence


def test_endpoints_that_are_left_out_of_the_list_are_counted_as_in_no_trouble() -> None:
    long = destination(failed(), available=200, failed=1, moreEndpoints=200)
    (sentence,) = sentences(frame(router(long)))
    assert sentence.endswith("Traffic goes to the other 200 of 201 endpoints.")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("neg", "leads nowhere: no rule of the dtab leads to a name that there is. Its connections end (not_found)."),
        ("fail", "is refused: the dtab says so (!). Its connections end (binding)."),
        ("empty", "leads to nothing: the dtab says so ($). Its connections end (no_endpoint)."),
        ("failed", "is not bound: the disk is gone. Its connections end (binding); it is asked for again."),
        ("pending", "is not bound yet: the disk is gone. Its connections wait for it, for a while."),
    ],
)
def test_a_path_that_leads_nowhere_is_said_and_leads_to_the_delegator(kind: str, words: str) -> None:
    lost = frame(router(unbound=[{"path": "/svc/lost", "type": kind, "cause": "the disk is gone"}]))
    assert sentences(lost) == [f"/svc/lost of router default {words}"]
    (row,) = attention(lost, items(lost))["attention"]
    assert row["what"]["href"] == "/delegator#router=default&path=/svc/lost"


def test_many_paths_that_lead_nowhere_are_one_sentence() -> None:
    lost: Any = [{"path": f"/svc/{n}", "type": "neg", "cause": None} for n in range(5)]
    (sentence,) = sentences(frame(router(unbound=lost, moreUnbound=7)))
    assert sentence == (
        "12 paths of router default lead nowhere: /svc/0, /svc/1, /svc/2 and 9 more. Their connections end."
    )


def test_a_stale_namer_says_what_goes_on() -> None:
    stale = namer(stale=True, error="503 from namerd", errorAt=NOW - 3, nextAttemptAt=NOW + 4)
    (sentence,) = sentences(frame(namers=[stale]))
    assert sentence == (
        "/#/io.l5d.fs/web was last known at 02:01:41 UTC (12 min ago): 503 from namerd. The next attempt is in 4 s. "
        "Routing goes on with the 3 addresses known then."
    )
    never = namer(stale=True, error="no answer", lastGoodAt=None, state="failed", addresses=0)
    (sentence,) = sentences(frame(namers=[never]))
    assert sentence == "/#/io.l5d.fs/web was never known: no answer. Connections that need it wait, or fail."


def test_many_stale_names_are_one_sentence() -> None:
    stale = namer(stale=True, error="no answer")
    many = stale | {"watches": [*stale["watches"]] * 4, "stale": 9}
    (sentence,) = sentences(frame(namers=[many]))
    assert sentence.startswith("9 names of /#/io.l5d.fs are stale: /web, /web, /web and more: no answer.")


@pytest.mark.parametrize(
    ("days", "words", "state"),
    [
        (29.5, "expires in 29 d.", "warn"),
        (6.5, "expires in 6 d.", "bad"),
        (-0.5, "has expired at 14:13:41 UTC (12 h ago). Peers that check it refuse to connect.", "bad"),
    ],
)
def test_certificates_warn_before_they_expire(days: float, words: str, state: str) -> None:
    old = frame(certificates=[certificate(days)])
    (sentence,) = sentences(old)
    assert sentence.startswith(f"The certificate www.example.com of server 127.0.0.1:7474 {words}")
    assert states(old) == [state]


def test_a_certificate_that_is_valid_for_long_needs_no_attention() -> None:
    assert sentences(frame(certificates=[certificate(31)])) == []


def test_a_refused_reload_says_its_first_error_and_what_is_in_force() -> None:
    errors = ["c.yml:3:1: unknown key", "c.yml:9:1: too small"]
    (sentence,) = sentences(frame(reload={"ok": False, "at": NOW - 60, "errors": errors}))
    assert sentence == (
        "The configuration was refused at 02:12:41 UTC (60 s ago): c.yml:3:1: unknown key (and 1 more). What was read "
        "before stays in force."
    )


def test_workers_that_are_gone_or_silent_are_said() -> None:
    lost = frame(workers=[worker(0), worker(1, state="gone"), worker(2, answers=False, why="nothing within 0.8 s")])
    gone, silent = sentences(lost)
    assert gone.startswith("Worker 1 (process 4001) is gone: its process has ended. Another one is started;")
    assert silent.startswith("Worker 2 (process 4002) does not answer: nothing within 0.8 s. Its figures are missing")


def test_limits_that_are_near_are_said() -> None:
    near = frame(
        router(servers=[server(active=80, most=100), server("127.0.0.1:7475", active=79, most=100)]),
        descriptors=900,
    )
    full, descriptors = sentences(near)
    assert full.startswith("Server 127.0.0.1:7474 is nearly full: 80 of 100 connections (maxConcurrency).")
    assert descriptors.startswith("This process is nearly out of descriptors: 900 of")


def test_a_drain_in_force_says_by_whom_and_can_be_undone() -> None:
    drains: Any = [{"bound": WEB, "address": "10.0.0.1:8080", "since": NOW - 30, "by": "127.0.0.1"}]
    drained = frame(router(destination(endpoint(drained=True), B)), drains=drains)
    (sentence,) = sentences(drained)
    assert sentence == (
        "10.0.0.1:8080 of /#/io.l5d.fs/web was drained at 02:13:11 UTC (30 s ago) by 127.0.0.1. It gets no new "
        "connections until that is undone or the program is restarted."
    )
    (row,) = attention(drained, items(drained))["attention"]
    assert row["target"] == '{"bound": "/#/io.l5d.fs/web", "address": "10.0.0.1:8080"}'


def test_more_failures_than_usual_are_said_with_what_is_usual() -> None:
    unusual = series(failures=[0.2] * 20 + [6.0, 6.0, 6.0])
    history: Any = {"until": int(NOW // 5), "total": unusual, "destinations": {f"default {WEB}": unusual}}
    failing = destination(A, failures={"timeout": 90, "refused": 3})
    (sentence,) = sentences(frame(router(failing), history=history))
    assert sentence == (
        "/#/io.l5d.fs/web of router default began to fail more than usual at 02:13:25 UTC (16 s ago): 6.0 per second, "
        "usually 0.2. Since the start: timeout 90, refused 3. Failed attempts are made again at another endpoint, "
        "up to maxAttempts."
    )


@pytest.mark.parametrize(
    "failures",
    [[], [9.0] * 3, [0.0] * 20 + [0.8] * 2, [5.0] * 20 + [9.0] * 2, [None] * 20 + [9.0] * 2, [0.0] * 20 + [None] * 2],
)
def test_as_many_failures_as_usual_are_not_said(failures: list[float | None]) -> None:
    history: Any = {"until": int(NOW // 5), "total": series(failures=failures), "destinations": {}}
    assert sentences(frame(history=history)) == []


def test_a_process_that_stops_or_is_not_ready_is_said() -> None:
    assert sentences(frame(stopping=True, ready=False))[0].startswith("This process is stopping:")
    assert sentences(frame(ready=False))[0].startswith("linkerd-tcp is not ready:")


def test_the_worst_comes_first_and_the_rest_is_counted() -> None:
    drains: Any = [{"bound": WEB, "address": f"10.0.0.{n}:80", "since": NOW, "by": None} for n in range(20)]
    everything = frame(
        router(destination(A, failed()), destination(failed(), bound="/#/z")), drains=drains, moreDrains=5,
        certificates=[certificate(20)], reload={"ok": False, "at": NOW, "errors": []},
    )  # fmt: skip
    shown = attention(everything, items(everything))
    assert [row["mark"]["text"] for row in shown["attention"][:5]] == [
        "Destination", "Endpoint", "Configuration", "Certificate", "Drain",
    ]  # fmt: skip
    assert len(shown["attention"]) == MOST_ITEMS
    assert shown["more"] == "and 19 more"


def test_every_item_is_someone_of_its_own() -> None:
    lost: Any = [{"path": "/a", "type": "neg", "cause": None}, {"path": "/b", "type": "neg", "cause": None}]
    both = frame(
        router(destination(A, failed(), failed("10.0.0.4:80")), unbound=lost), router(unbound=lost, label="other"),
        namers=[namer(stale=True, error="x")], certificates=[certificate(1), certificate(1, where="admin")],
    )  # fmt: skip
    keys = [item.row["key"] for item in items(both)]
    assert len(set(keys)) == len(keys) == 9


def test_the_order_stays_as_time_goes_by_and_failures_go_on() -> None:
    first = frame(router(destination(A, failed(), failed("10.0.0.4:80")), destination(A, failed(), bound="/#/b")))
    before = [item.row["key"] for item in items(first)]
    for second in range(60):
        later: Any = {**first, "at": NOW + second}
        later["routers"][0]["destinations"][0]["endpoints"][2]["consecutiveFailures"] += 1
        assert [item.row["key"] for item in items(later)] == before


def test_where_nothing_is_wrong_it_says_so_with_what_there_is() -> None:
    assert calm(frame()) == "Nothing needs attention. No connection has come yet."
    assert calm(frame(router(destination(A)))) == "Nothing needs attention. 1 endpoint is available."
    had = endpoint(lastErrorAt=NOW - 7_200, lastError="refused")
    assert calm(frame(router(destination(had, B)))) == (
        "Nothing needs attention. 2 endpoints are available, the last failure was 2 h ago."
    )
    assert calm(frame(router(destination(A, failed())))) == ""


def test_names_of_strangers_are_made_harmless_and_short() -> None:
    long = HOSTILE + "x" * 1_000
    hostile = frame(
        router(
            destination(A, failed(lastError=long), bound=long),
            label=long,
            unbound=[{"path": long, "type": "failed", "cause": long}],
        ),
        namers=[namer(name=long, stale=True, error=long)],
        certificates=[certificate(1, identity=long, where=long)],
        reload={"ok": False, "at": NOW, "errors": [long]},
        workers=[worker(0, answers=False, why=long)],
        drains=[{"bound": long, "address": "10.0.0.1:8080", "since": NOW, "by": long}],  # type: ignore[list-item]
    )
    said = sentences(hostile)
    assert len(said) == 7
    for sentence in said:
        assert sentence.isprintable()
        assert len(sentence) < 1_000
    for item in items(hostile):
        assert item.said.isprintable()
        assert all(text(cell).isprintable() for name, cell in item.row.items() if name != "target")

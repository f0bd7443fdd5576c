"""One frame of several workers' frames: what is counted is added, what is wrong anywhere is shown."""

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.admin.frame import frame_lines, read_frame
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.dashboard.together import TROUBLE_SECS, destinations_together, endpoints_together
from linkerd_tcp.figures import DURATION_BOUNDS_SECS
from linkerd_tcp.history import STEP_SECS, STEPS
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.workers import gather
from linkerd_tcp.workers.everyone import Everyone, Nothing
from linkerd_tcp.workers.frames import (
    least_room,
    merge_certificates,
    merge_drains,
    merge_namers,
    merge_routers,
    read_lines,
)
from linkerd_tcp.workers.histories import MOST_OTHERS, NOTHING, Histories, add_points, merge_histories
from linkerd_tcp.workers.moment import Moment
from tests.rig import Endpoint as RealEndpoint
from tests.workers.fake import FakeWorker, Front

NOW = 1_700_000_000.0
NO_LATENCY = [0] * (len(DURATION_BOUNDS_SECS) + 1)


def rest() -> None:
    pass


def endpoint(address: str = "10.0.0.1:80", **more: Any) -> Any:
    return {
        "address": address, "state": "available", "weight": 1.0, "open": 0, "pending": 0, "consecutiveFailures": 0,
        "connects": 0, "failures": 0, "lastError": None, "lastErrorAt": None, "failedSince": None, "drained": False,
        "nextTryAt": None, "probing": False, "ejections": 0, "rxBytes": 0, "txBytes": 0, **more,
    }  # fmt: skip


COUNTED = (
    "open", "pending", "waiters", "attempts", "connects", "unavailable", "ejections", "revivals", "rxBytes", "txBytes"
)  # fmt: skip


def destination(*endpoints: Any, bound: str = "/#/web", **more: Any) -> Any:
    states = [each["state"] for each in endpoints]
    return {
        "bound": bound, "paths": ["/svc/web"], "morePaths": 0, "addr": {"type": "bound"},
        "available": states.count("available"), "failed": states.count("failed"), "retired": states.count("retired"),
        "drained": sum(each["drained"] for each in endpoints), **dict.fromkeys(COUNTED, 0), "failures": {},
        "latency": NO_LATENCY, "endpoints": list(endpoints), "moreEndpoints": 0, **more,
    }  # fmt: skip


def router(*destinations: Any, label: str = "default", **more: Any) -> Any:
    return {
        "label": label, "servers": [], "destinations": list(destinations), "moreDestinations": 0, "unbound": [],
        "moreUnbound": 0, "errors": {}, **more,
    }  # fmt: skip


def routers(*several: Any) -> list[shapes.Router]:
    """Of workers with this one each."""
    frames: list[Any] = [{"routers": [each]} for each in several]
    return merge_routers(frames, NOW, rest)


# -- endpoints and destinations


def test_an_endpoint_is_the_worst_that_any_says_of_it() -> None:
    shown = endpoints_together(
        [
            endpoint(open=2, connects=9, rxBytes=10),
            endpoint(state="failed", failedSince=20.0, lastError="timeout", lastErrorAt=60.0, nextTryAt=99.0, open=1),
            endpoint(state="failed", failedSince=10.0, lastError="refused", lastErrorAt=50.0, nextTryAt=77.0),
            endpoint(drained=True, probing=True, consecutiveFailures=3, ejections=4),
        ]
    )
    assert shown == endpoint(
        state="failed", failedSince=10.0, lastError="timeout", lastErrorAt=60.0, nextTryAt=77.0, drained=True,
        probing=True, consecutiveFailures=3, ejections=4, open=3, connects=9, rxBytes=10,
    )  # fmt: skip


def test_states_of_a_destination_are_those_of_its_endpoints() -> None:
    shown = destinations_together(
        [
            destination(endpoint("a"), endpoint("b", state="failed"), endpoint("c", state="retired")),
            destination(endpoint("a", state="failed", drained=True), endpoint("b")),
        ]
    )
    assert (shown["available"], shown["failed"], shown["retired"], shown["drained"]) == (0, 2, 1, 1)
    assert [each["address"] for each in shown["endpoints"]] == ["a", "b", "c"]


def test_endpoints_that_no_worker_shows_are_counted_once() -> None:
    shown = destinations_together(
        [destination(endpoint("a"), available=40, failed=2, moreEndpoints=41), destination(endpoint("a"), available=42)]
    )
    assert (shown["available"], shown["failed"], shown["moreEndpoints"]) == (40, 2, 41)


@given(st.lists(st.lists(st.integers(0, 10**12), min_size=10, max_size=10), min_size=1, max_size=5))
def test_what_workers_count_of_a_destination_is_added(rows: list[list[int]]) -> None:
    several = [destination(**dict(zip(COUNTED, row, strict=True)), failures={"refused": row[0]}) for row in rows]
    shown: Any = destinations_together(several)
    assert [shown[key] for key in COUNTED] == [sum(column) for column in zip(*rows, strict=True)]
    assert shown["failures"] == {"refused": sum(row[0] for row in rows)}


def test_latencies_and_causes_are_added_by_bucket_and_by_cause() -> None:
    one, other = [1, *NO_LATENCY[1:]], [2, 3, *NO_LATENCY[2:]]
    shown = destinations_together(
        [destination(latency=one, failures={"refused": 1}), destination(latency=other, failures={"timeout": 2})]
    )
    assert shown["latency"] == [3, 3, *NO_LATENCY[2:]]
    assert shown["failures"] == {"refused": 1, "timeout": 2}


# -- routers


def test_destinations_are_in_the_order_of_their_names_whoever_has_them() -> None:
    (shown,) = routers(
        router(destination(bound="/#/b"), destination(bound="/#/d")),
        router(destination(bound="/#/a"), destination(bound="/#/b")),
    )
    assert [each["bound"] for each in shown["destinations"]] == ["/#/a", "/#/b", "/#/d"]


def test_of_many_the_first_by_name_are_shown_and_besides_what_is_in_trouble() -> None:
    many = [
        destination(endpoint(), bound=f"/#/n{number:04}")
        for number in range(shapes.MOST_DESTINATIONS + 50)
    ]  # fmt: skip
    failed = destination(endpoint(state="failed"), bound="/#/z0")
    erred = destination(endpoint(lastErrorAt=NOW - TROUBLE_SECS + 1), bound="/#/z1")
    (shown,) = routers(router(*many[:150], moreDestinations=90), router(*many[100:], failed, erred))
    names = [each["bound"] for each in shown["destinations"]]
    assert names == [*(f"/#/n{number:04}" for number in range(shapes.MOST_DESTINATIONS)), "/#/z0", "/#/z1"]
    assert shown["moreDestinations"] == 50


def test_what_is_in_trouble_is_cut_too() -> None:
    failed = [destination(endpoint(state="failed"), bound=f"/#/n{number:05}") for number in range(1_000)]
    (shown,) = routers(router(*failed))
    assert len(shown["destinations"]) == shapes.MOST_DESTINATIONS + shapes.MOST_TROUBLED
    assert len(shown["destinations"]) + shown["moreDestinations"] == 1_000


def test_of_many_endpoints_the_first_are_shown_and_besides_those_in_trouble() -> None:
    many = [endpoint(f"10.0.0.{number}:80") for number in range(80)]
    many[70] |= {"state": "failed"}
    (shown,) = routers(router(destination(*many)), router(destination(*many[:60], moreEndpoints=20)))
    (row,) = shown["destinations"]
    assert [each["address"] for each in row["endpoints"]] == [
        *(f"10.0.0.{number}:80" for number in range(shapes.MOST_OF_ONE)),
        "10.0.0.70:80",
    ]
    assert row["moreEndpoints"] == 29


def test_servers_are_added_and_so_are_their_limits() -> None:
    server: Any = {
        "address": "127.0.0.1:7474", "names": "/svc/web", "tls": True, "active": 1, "waiting": 2, "most": 100,
        "accepts": 3, "failures": {"denied": 1}, "tlsFailures": {"expired": 2}, "latency": [1, *NO_LATENCY[1:]],
        "rxBytes": 5, "txBytes": 6,
    }  # fmt: skip
    (shown,) = routers(router(servers=[server], errors={"pending": 1}), router(servers=[server], errors={"pending": 2}))
    assert shown["errors"] == {"pending": 3}
    assert shown["servers"] == [
        {
            **server, "active": 2, "waiting": 4, "most": 200, "accepts": 6, "failures": {"denied": 2},
            "tlsFailures": {"expired": 4}, "latency": [2, *NO_LATENCY[1:]], "rxBytes": 10, "txBytes": 12,
        }
    ]  # fmt: skip


def test_paths_that_lead_nowhere_are_named_once() -> None:
    lost: list[Any] = [{"path": f"/svc/{name}", "type": "neg", "cause": None} for name in "abcdefgh"]
    (shown,) = routers(router(unbound=lost[:4], moreUnbound=1), router(unbound=lost[2:7]))
    assert [each["path"] for each in shown["unbound"]] == [each["path"] for each in lost[: shapes.MOST_PATHS]]
    assert shown["moreUnbound"] == 2


# -- namers, certificates, drains, descriptors


def watch(name: str, **more: Any) -> Any:
    return {"name": name, "error": None, "lastGoodAt": 10.0, "stale": False, **more}


def namer(*watches: Any, **more: Any) -> Any:
    stale = sum(each["stale"] for each in watches)
    return {
        "prefix": "/#/x",
        "kind": "x",
        "watches": list(watches),
        "moreWatches": 0,
        "stale": stale,
        "errors": {},
    } | more


def test_of_a_name_that_several_watch_the_row_of_the_worst_off_is_shown() -> None:
    stale = watch("/a", error="away", stale=True)
    (shown,) = merge_namers(
        [[namer(watch("/a"), watch("/b"), errors={"io": 1})], [namer(stale, errors={"io": 2})]], rest
    )
    assert [(each["name"], each["error"]) for each in shown["watches"]] == [("/a", "away"), ("/b", None)]
    assert (shown["stale"], shown["errors"], shown["moreWatches"]) == (1, {"io": 3}, 0)


def test_stale_names_are_shown_however_many_there_are() -> None:
    many = [watch(f"/n{number}") for number in range(shapes.MOST_WATCHES + 5)]
    (shown,) = merge_namers([[namer(*many, watch("/z", error="away", stale=True))]], rest)
    assert [each["name"] for each in shown["watches"]][-1] == "/z"
    assert (len(shown["watches"]), shown["moreWatches"]) == (shapes.MOST_WATCHES + 1, 5)


def test_a_certificate_is_there_once_with_the_earliest_end() -> None:
    def certificate(where: str, end: float) -> Any:
        return {"where": where, "identity": "*", "notAfter": end}

    shown = merge_certificates([[certificate("a", 5.0)], [certificate("a", 4.0), certificate("b", 9.0)]])
    assert [(each["where"], each["notAfter"]) for each in shown] == [("a", 4.0), ("b", 9.0)]


def test_a_drain_is_there_once_since_it_was_first_asked_for() -> None:
    def drain(since: float, by: str | None) -> Any:
        return {"bound": "/#/x", "address": "a:1", "since": since, "by": by}

    frames: list[Any] = [
        {"drains": [drain(5.0, None)], "moreDrains": 3},
        {"drains": [drain(4.0, "b")], "moreDrains": 0},
    ]
    assert merge_drains(frames) == ([drain(4.0, "b")], 3)


def test_descriptors_are_those_of_the_worker_with_least_room() -> None:
    frames: list[Any] = [{"descriptors": used, "mostDescriptors": most} for used, most in ((90, 1000), (50, 100))]
    assert least_room(frames) == (50, 100)
    assert least_room([]) == (0, 0)


# -- histories


def series(*points: float | None, latency: int = 0) -> Any:
    some = list(points)
    return {
        "open": some, "accepts": some, "failures": some, "rx": some, "tx": some, "latency": [latency, *NO_LATENCY[1:]]
    }  # fmt: skip


def history(until: int, *points: float | None, **destinations: Any) -> Any:
    return {"until": until, "total": series(*points, latency=1), "destinations": destinations}


def test_points_of_the_same_step_are_added_and_a_gap_of_one_is_none_of_all() -> None:
    assert add_points([([1, 2, 3], 10), ([10, None, 30], 10)], 10) == [11, 2, 33]
    assert add_points([([None], 10), ([None], 10)], 10) == [None]
    assert add_points([], 10) == []


def test_points_stand_where_their_steps_are() -> None:
    assert add_points([([1, 2, 3], 10), ([10, 20], 8)], 10) == [10, 21, 2, 3]
    assert add_points([([1, 2, 3], 10), ([5], 9)], 9) == [1, 7]


def test_no_more_points_are_kept_than_steps() -> None:
    assert len(add_points([([1.0] * STEPS, 10), ([1.0] * STEPS, 3)], 10)) == STEPS


def test_a_step_that_not_all_have_finished_is_left_for_the_next_time() -> None:
    made = Histories()
    shown = made.together({(0, 1): history(10, 1, 2), (1, 2): history(9, 10)})
    assert (shown["until"], shown["total"]["open"]) == (9, [11])
    shown = made.together({(0, 1): None, (1, 2): history(10, 10, 20)})
    assert (shown["until"], shown["total"]["open"]) == (10, [11, 22])


def test_what_is_known_is_not_sent_again() -> None:
    made = Histories()
    assert made.known_until([(0, 1), (1, 2)]) == NOTHING
    made.together({(0, 1): history(10, 1), (1, 2): history(10, 1)})
    assert made.known_until([(0, 1), (1, 2)]) == 10
    assert made.known_until([(0, 1), (1, 77)]) == NOTHING, "it was replaced"
    shown = made.together({(0, 1): None, (1, 2): None})
    assert made.together({(0, 1): None, (1, 2): None}) is shown


def test_a_worker_that_was_replaced_or_is_silent_stays_in_the_minutes_in_which_it_was_there() -> None:
    made = Histories()
    made.together({(0, 1): history(10, 1, 1), (1, 2): history(10, 5, 5)})
    shown = made.together({(0, 1): history(12, 1, 1, 1, 1), (1, 77): history(12, 7)})
    assert shown["total"]["open"] == [6, 6, 1, 8]
    shown = made.together({(0, 1): history(10 + STEPS, *[1] * STEPS), (1, 77): history(10 + STEPS, *[7] * STEPS)})
    assert shown["total"]["open"] == [8] * STEPS


def test_nobody_answers_and_what_was_known_is_shown() -> None:
    made = Histories()
    shown = made.together({(0, 1): history(10, 1, 2)})
    assert made.together({}) == shown


def test_a_worker_that_is_replaced_again_and_again_takes_no_more_room() -> None:
    made = Histories()
    for pid in range(100):
        made.together({(0, 1): history(10, 1), (1, pid): history(10, 1)})
    assert len(made._known) <= 2 + MOST_OTHERS


def test_a_clock_that_was_set_back_forgets_those_who_are_of_the_future() -> None:
    made = Histories()
    made.together({(0, 1): history(1000, 1), (1, 2): history(1000, 1)})
    shown = made.together({(0, 1): history(10, 4)})
    assert (shown["until"], shown["total"]["open"]) == (10, [4])


def test_destinations_of_histories_are_added_by_name() -> None:
    shown = merge_histories([history(10, 1, a=series(1, latency=2)), history(10, 1, a=series(2), b=series(3))], 10)
    assert {key: each["open"] for key, each in shown["destinations"].items()} == {"a": [3], "b": [3]}
    assert shown["destinations"]["a"]["latency"][0] == 2
    assert shown["total"]["latency"][0] == 2


# -- over real workers


@pytest.fixture
def moment(front: Front) -> Moment:
    return Moment(Everyone(front.fleet, Nothing(), front.logs))


def test_a_frame_is_the_same_after_its_way_over_the_wire(workers: list[FakeWorker]) -> None:
    app = workers[0]
    with app.connect():
        heard = read_lines(line.encode() for line in frame_lines(app, NOTHING))
        frame: Any = json.loads(json.dumps(read_frame(app)))
    history_ = frame.pop("history")
    assert heard.history == history_
    got: Any = dict(heard.frame)
    assert got.pop("at") <= frame.pop("at")
    assert got == frame


def test_the_frame_of_all_workers_has_what_each_has(
    workers: list[FakeWorker], moment: Moment, endpoints: list[RealEndpoint]
) -> None:
    with workers[0].connect() as first, workers[1].connect() as second, workers[1].connect():
        for client in (first, second):
            client.sendall(b"0123456789")
            assert client.recv(10) == b"0123456789"
        frame = moment.frame()
    (shown,) = frame["routers"]
    (row,) = shown["destinations"]
    assert (row["open"], row["available"], row["rxBytes"], row["txBytes"]) == (3, 2, 20, 20)
    assert [each["address"] for each in row["endpoints"]] == [f"127.0.0.1:{each.port}" for each in endpoints]
    assert sum(each["open"] for each in row["endpoints"]) == 3
    assert [(each["worker"], each["pid"], each["connections"], each["answers"]) for each in frame["workers"]] == [
        (0, os.getpid(), 1, True),
        (1, os.getpid(), 2, True),
    ]
    assert (frame["ready"], frame["stopping"], frame["reload"]["ok"]) == (True, False, True)


def test_one_that_does_not_answer_says_why_and_the_others_are_shown(
    workers: list[FakeWorker], moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "DEADLINE_SECS", 0.2)
    workers[1].stop_answering()
    with workers[0].connect():
        frame = moment.frame()
    assert [(each["answers"], each["why"]) for each in frame["workers"]] == [
        (True, None),
        (False, "no answer within 0.2 s"),
    ]
    assert frame["routers"][0]["destinations"][0]["open"] == 1
    assert not frame["ready"]
    assert frame["remarks"] == ["worker 1 does not answer: no answer within 0.2 s"]


def test_a_history_comes_over_the_wire_only_when_it_has_grown(
    workers: list[FakeWorker], moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = [1_000.0 * STEP_SECS]
    for worker in workers:
        monkeypatch.setattr(worker.history, "_wall", lambda: clocks[0])
        worker.history.sample(worker)
    asked: list[str] = []
    ask = moment._everyone.ask
    monkeypatch.setattr(moment._everyone, "ask", lambda path: [asked.append(path), ask(path)][1])
    for step in range(3):
        for worker in workers:
            worker.history.sample(worker)
        shown = [moment.frame()["history"] for _ in range(2)]
        assert shown[0] is shown[1]
        assert len(shown[0]["total"]["open"]) == step
        clocks[0] += STEP_SECS
    known = [int(path.partition("=")[2]) for path in asked]
    assert known == [NOTHING, 1_000, 1_000, 1_001, 1_001, 1_002]


def test_who_drained_an_endpoint_and_what_is_stale_is_in_the_frame_of_all(
    workers: list[FakeWorker], front: Front, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for worker in workers:
        worker.connect().close()
    bound = "/#/io.l5d.static/web"
    address = moment.frame()["routers"][0]["destinations"][0]["endpoints"][0]["address"]
    assert front.fleet.drain(bound, address, True, "10.0.0.9")
    stale = WatchState("/web", "bound", 2, 10.0, "away", 15.0)
    monkeypatch.setattr(workers[1].namers[0], "watches", lambda: [stale])
    frame = moment.frame()
    assert [(each["bound"], each["address"], each["by"]) for each in frame["drains"]] == [(bound, address, "10.0.0.9")]
    assert frame["routers"][0]["destinations"][0]["drained"] == 1
    (shown,) = frame["namers"]
    assert (shown["stale"], shown["watches"][0]["error"]) == (1, "away")

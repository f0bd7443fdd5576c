"""Several workers' answers make one: nothing is shown twice, nothing is left out, nothing that is wrong is hidden."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.admin.connections import Place, place
from linkerd_tcp.staleness import MOST_REMARKS
from linkerd_tcp.workers.merge import (
    Page,
    binding_pieces,
    merge_bindings,
    merge_endpoint,
    merge_levels,
    merge_namers,
    merge_pages,
    merge_ready,
    merge_remarks,
    read_page,
    unanswered,
)

# -- connections


def id_of(where: Place) -> str:
    return f"{where[1]}-{where[0]:x}"


def page_of(numbers: set[int], worker: int, limit: int, after: Place | None) -> Page:
    """As a worker with these connections answers."""
    places = sorted(((number, worker) for number in numbers), reverse=True)
    found = [where for where in places if after is None or where < after]
    shown = found[:limit]
    return Page([(where, id_of(where), id_of(where)) for where in shown], id_of(shown[-1]) if found[limit:] else None)


@given(
    st.lists(st.sets(st.integers(1, 60), max_size=40), min_size=1, max_size=4),
    st.integers(1, 10),
)
def test_pages_over_all_workers_have_each_connection_once_in_order(workers: list[set[int]], limit: int) -> None:
    shown: list[str] = []
    after: Place | None = None
    while True:
        pages = [page_of(numbers, worker, limit, after) for worker, numbers in enumerate(workers)]
        found, next_id = merge_pages(pages, limit)
        assert len(found) <= limit
        shown += found
        if next_id is None:
            break
        assert found
        after = place(next_id)
    everything = sorted(((number, worker) for worker, all_ in enumerate(workers) for number in all_), reverse=True)
    assert shown == [id_of(where) for where in everything]


def test_a_page_that_lost_some_on_the_way_leaves_no_gap_in_the_next() -> None:
    """One that has closed since the page was chosen may be left out of it."""
    short = Page([((9, 0), "0-9", "0-9")], "0-8")  # 0-8 was left out, and there is a 0-7
    other = Page([((6, 1), "1-6", "1-6")], None)
    assert merge_pages([short, other], 2) == (["0-9"], "0-8")


def test_a_page_is_read_from_its_lines() -> None:
    lines = [b'1-ff {"id": "1-ff"}', b'1-a {"id": "1-a"}', b"next 1-a"]
    assert read_page(lines) == Page([((255, 1), "1-ff", '{"id": "1-ff"}'), ((10, 1), "1-a", '{"id": "1-a"}')], "1-a")
    assert read_page([b"next "]) == Page([], None)
    with pytest.raises(ValueError, match="no end"):
        read_page(lines[:2])


# -- bindings


def endpoint(**more: Any) -> dict[str, Any]:
    return {
        "address": "127.0.0.1:80", "state": "available", "weight": 1.0, "open": 0, "pending": 0,
        "consecutiveFailures": 0, "connects": 0, "failures": 0, "lastError": None, "failedSince": None,
        "drained": False, "lastErrorAt": None, "nextTryAt": None, "probing": False, "ejections": 0, **more,
    }  # fmt: skip


def lines_of(
    label: str, *bindings: tuple[str, dict[str, Any], list[tuple[str, str, list[dict[str, Any]]]]]
) -> list[bytes]:
    """As admin.names.binding_lines writes them."""
    lines = [f"router {json.dumps(label)}"]
    for path, tree, balancers in bindings:
        lines += [f"path {json.dumps(path)}", f"tree {json.dumps(tree)}"]
        for bound, addr, endpoints in balancers:
            lines.append(f"balancer {json.dumps({'bound': bound, 'addr': {'type': addr}})}")
            lines += [f"endpoint {json.dumps(each)}" for each in endpoints]
    return [line.encode() for line in lines]


def merged(*workers: list[bytes]) -> dict[str, list[dict[str, Any]]]:
    return {
        label: [json.loads("".join(binding_pieces(path, binding))) for path, binding in paths.items()]
        for label, paths in merge_bindings(workers).items()
    }


LEAF = {"type": "leaf"}


def test_endpoints_of_one_name_are_added_by_address() -> None:
    a = lines_of(
        "default", ("/svc/web", LEAF, [("/#/x", "bound", [endpoint(open=1), endpoint(address="b:1", open=5)])])
    )
    b = lines_of("default", ("/svc/web", LEAF, [("/#/x", "bound", [endpoint(open=2, connects=7)])]))
    ((binding,),) = merged(a, b).values()
    assert binding == {
        "path": "/svc/web",
        "tree": LEAF,
        "balancers": [
            {
                "bound": "/#/x",
                "addr": {"type": "bound"},
                "endpoints": [endpoint(open=3, connects=7), endpoint(address="b:1", open=5)],
            }
        ],
    }


def test_what_one_worker_only_has_is_there_too() -> None:
    a = lines_of("one", ("/svc/a", LEAF, []))
    b = lines_of("one", ("/svc/b", LEAF, [])) + lines_of("two")
    assert {label: [each["path"] for each in found] for label, found in merged(a, b).items()} == {
        "one": ["/svc/a", "/svc/b"],
        "two": [],
    }


def test_the_tree_shown_is_of_a_worker_where_it_leads_somewhere() -> None:
    a = lines_of("default", ("/svc/web", {"type": "neg"}, []))
    b = lines_of("default", ("/svc/web", LEAF, [("/#/x", "bound", [])]))
    for workers in ((a, b), (b, a)):
        ((binding,),) = merged(*workers).values()
        assert binding["tree"] == LEAF


def test_addresses_that_are_known_go_before_those_that_are_not_yet() -> None:
    a = lines_of("default", ("/svc/web", LEAF, [("/#/x", "pending", [])]))
    b = lines_of("default", ("/svc/web", LEAF, [("/#/x", "bound", [])]))
    for workers in ((a, b), (b, a)):
        ((binding,),) = merged(*workers).values()
        assert binding["balancers"][0]["addr"] == {"type": "bound"}


def test_an_endpoint_is_shown_as_the_worker_sees_it_that_is_worst_off() -> None:
    first = {"lastError": "timeout", "lastErrorAt": 30.0, "failedSince": 20.0, "nextTryAt": 90.0, "ejections": 1}
    second = {"lastError": "refused", "lastErrorAt": 25.0, "failedSince": 10.0, "nextTryAt": 80.0, "ejections": 2}
    shown = merge_endpoint(
        [
            endpoint(consecutiveFailures=2, state="failed", **first),
            endpoint(consecutiveFailures=5, state="failed", probing=True, **second),
            endpoint(drained=True),
        ]
    )
    expected = first | {"failedSince": 10.0, "nextTryAt": 80.0, "ejections": 3}
    assert shown == endpoint(state="failed", consecutiveFailures=5, drained=True, probing=True, **expected)


@pytest.mark.parametrize(
    ("states", "shown"),
    [(["retired", "available"], "available"), (["retired"], "retired"), (["available", "retired", "failed"], "failed")],
)
def test_an_endpoint_is_failed_where_any_worker_says_so_and_retired_where_all_do(states: list[str], shown: str) -> None:
    assert merge_endpoint([endpoint(state=state) for state in states])["state"] == shown


COUNTS = ("open", "pending", "connects", "failures")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), *[st.integers(0, 9)] * 4), max_size=40))
def test_what_workers_count_is_what_one_would_have_counted(rows: list[tuple[Any, ...]]) -> None:
    """Each row is one worker's count of an endpoint."""
    per_worker: dict[int, dict[str, dict[str, Any]]] = {}
    expected: dict[str, list[int]] = {}
    for worker, address, *counts in rows:
        mine = per_worker.setdefault(worker, {})
        before = mine.get(address, endpoint(address=address))
        mine[address] = before | {key: before[key] + more for key, more in zip(COUNTS, counts, strict=True)}
        expected[address] = [a + b for a, b in zip(expected.get(address, [0] * 4), counts, strict=True)]
    workers = [lines_of("r", ("/p", LEAF, [("/#/x", "bound", list(mine.values()))])) for mine in per_worker.values()]
    bindings = merged(*workers).get("r", [])
    shown = [each for binding in bindings for each in binding["balancers"][0]["endpoints"]]
    assert {each["address"]: [each[key] for key in COUNTS] for each in shown} == expected


# -- namers, readiness, levels


def watch(name: str = "/web", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "bound", "lastGoodAt": 10.0, "error": None, **more}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (watch(), watch(error="away", lastGoodAt=20.0)),
        (watch(error="away", lastGoodAt=20.0), watch(error="away", lastGoodAt=10.0)),
        (watch(error="away"), watch(error="away", lastGoodAt=None)),
        (watch(lastGoodAt=20.0), watch(lastGoodAt=10.0)),
        (watch(lastGoodAt=None, state="pending"), watch()),
    ],
    ids=["stale", "staler", "never", "older", "not yet"],
)
def test_of_a_name_the_worst_off_is_shown(better: dict[str, Any], worse: dict[str, Any]) -> None:
    header = ["/io.l5d.fs", "io.l5d.fs"]
    for rows in ([better, worse], [worse, better]):
        assert merge_namers([[header, row] for row in rows]) == {("/io.l5d.fs", "io.l5d.fs", 0): {"/web": worse}}


def test_namers_that_are_alike_stay_two() -> None:
    one = ["/#/x", "x"]
    found = merge_namers([[one, watch("/a"), one, watch("/b")], [one, one, watch("/c")]])
    assert [list(watches) for watches in found.values()] == [["/a"], ["/b", "/c"]]


def test_a_stale_name_is_said_once_whatever_its_age_in_each_worker() -> None:
    a = ["namer /#/x: /web: away (bound, last good 10 s ago)", "namer /#/x: /b: away (pending)"]
    b = ["namer /#/x: /web: away (bound, last good 12 s ago)"]
    assert merge_remarks([a, b]) == a
    assert merge_remarks([[], []]) == []


def test_how_many_more_are_stale_is_that_of_the_worker_with_most() -> None:
    remarks = [f"namer /#/x: /{number}: away (pending)" for number in range(MOST_REMARKS)]
    assert merge_remarks([[*remarks, "and 5 more"], [*remarks, "and 7 more"]]) == [*remarks, "and 7 more"]
    other = ["namer /#/x: /other: away (pending)"]
    assert merge_remarks([remarks, other]) == [*remarks, "and 1 more"]


def test_ready_is_when_every_worker_says_so() -> None:
    up, down = {"ready": True, "remarks": ["stale"]}, {"ready": False, "remarks": []}
    assert merge_ready({0: up, 1: up}, {}, ["own"]) == (True, ["stale", "own"])
    assert merge_ready({0: up, 1: down}, {}) == (False, ["worker 1 is not ready", "stale"])
    assert merge_ready({0: up}, {1: "why"}) == (False, ["worker 1 does not answer: why", "stale"])
    assert merge_ready({}, {})[0] is False


def test_levels_are_of_all_loggers_that_any_process_has() -> None:
    a = [{"logger": "root", "level": "warning"}, {"logger": "linkerd_tcp.server", "level": "debug"}]
    b = [{"logger": "linkerd_tcp", "level": "info"}, {"logger": "root", "level": "warning"}]
    assert [each["logger"] for each in merge_levels([a, b])] == ["linkerd_tcp", "linkerd_tcp.server", "root"]


def test_who_has_not_answered_is_in_the_end() -> None:
    assert json.loads('{"a": 1' + unanswered([1, 3])) == {"a": 1, "unanswered": [1, 3]}
    assert json.loads('{"a": 1' + unanswered([])) == {"a": 1}

"""The rows of the overview, the states empty, busy, broken and hostile; and that they are drawn as they are."""

import json
import re
from html.parser import HTMLParser
from time import perf_counter
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader

from linkerd_tcp.dashboard.attention import items
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.overview import FILTERED, View, view
from linkerd_tcp.dashboard.rates import Rates
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


def texts(row: dict[str, Any]) -> dict[str, str]:
    """The cells of a row, without its lists."""
    return {name: text(cell) for name, cell in row.items() if isinstance(cell, str | dict)}


def shown(now: Frame, before: Frame | None = None) -> View:
    """With rates where there was a frame two seconds before."""
    rates = Rates()
    if before is not None:
        rates.add(before, 0.0)
    rates.add(now, 2.0)
    return view(now, items(now), rates)


def first_endpoint(one: Any, *others: Any, **more: Any) -> dict[str, str]:
    (row, *_) = shown(frame(router(destination(one, *others)), **more))["routers"][0]["destinations"][0]["endpoints"]
    return texts(row)


# -- empty


def test_before_the_first_connection_it_says_where_to_send_one() -> None:
    (row,) = shown(frame(router(servers=[server("0.0.0.0:7474")])))["routers"]
    assert row["empty"] == "A destination appears here when the first connection for it arrives."
    assert row["listening"] == "Listening on 0.0.0.0:7474. To send one:"
    assert row["paste"] == "nc -v 127.0.0.1 7474"
    assert row["nothing"] == ""


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (server("[::1]:7474"), "nc -v ::1 7474"),
        (server("[::]:7474"), "nc -v ::1 7474"),
        (server(tls=True), "openssl s_client -connect 127.0.0.1:7474"),
        (server("[::]:7474", tls=True), "openssl s_client -connect [::1]:7474"),
    ],
)
def test_the_line_to_paste_fits_the_server(of: Any, line: str) -> None:
    assert shown(frame(router(servers=[of])))["routers"][0]["paste"] == line


def test_what_is_not_known_is_a_dash_and_no_zero() -> None:
    figures = {row["key"]: texts(row) for row in shown(frame())["figures"]}
    assert figures["figure-open"]["value"] == "0"
    for name in ("new", "failed", "rx", "tx", "latency"):
        assert figures[f"figure-{name}"]["value"] == "—", name
    assert figures["figure-latency"]["most"] == "none in the last minute"
    assert all(row["most"] == "" for name, row in figures.items() if name != "figure-latency")


# -- figures


def test_the_six_figures_are_those_of_the_last_seconds() -> None:
    before = frame(router(servers=[server(active=5, accepts=100, failures={"refused": 4})]))
    now = frame(
        router(
            servers=[
                server(active=7, accepts=120, failures={"refused": 6, "timeout": 1}, rxBytes=10_000, txBytes=200_000)
            ]
        ),
        history={"until": 1, "total": series(latency=[90, 0, 10] + [0] * 14, failures=[0.0, 4.0]), "destinations": {}},
    )
    figures = {row["key"]: texts(row) for row in shown(now, before)["figures"]}
    assert [figures[f"figure-{name}"]["value"] for name in ("open", "new", "failed", "rx", "tx", "latency")] == [
        "7", "10", "1.5", "5\u202f000 B", "100 kB", "≤ 0.5 ms",
    ]  # fmt: skip
    assert figures["figure-open"]["more"] == "of 100 k at most"
    assert figures["figure-failed"]["more"] == "15.0\u202f%, mostly refused"
    assert figures["figure-failed"]["most"] == "most 4.0 in 6 min"
    assert figures["figure-latency"]["more"] == "p99 ≤ 2.5 ms"
    assert figures["figure-latency"]["most"] == "100 in the last minute"


def test_the_first_look_takes_what_history_knows() -> None:
    past = series(accepts=[1.0, 3.0], failures=[0.0, 0.0], rx=[None, 5.0], tx=[1.0, None])
    figures = {
        row["key"]: text(row["value"])
        for row in shown(frame(history={"until": 1, "total": past, "destinations": {}}))["figures"]
    }
    assert [figures[f"figure-{name}"] for name in ("new", "failed", "rx", "tx")] == ["3.0", "0", "5 B", "—"]


def test_nothing_is_a_share_of_nothing() -> None:
    figures = {row["key"]: texts(row) for row in shown(frame(), frame())["figures"]}
    assert figures["figure-failed"]["more"] == "none"
    row = first_endpoint(endpoint())
    assert row["share"] == ""


def test_failures_without_new_connections_have_no_share() -> None:
    now = frame(router(servers=[server(failures={"idle": 2})]))
    figures = {row["key"]: texts(row) for row in shown(now, frame())["figures"]}
    assert figures["figure-failed"]["more"] == "idle"


# -- endpoints


@pytest.mark.parametrize(
    ("one", "state", "words", "note", "next_"),
    [
        (endpoint(), "good", "available", "", ""),
        (failed(), "bad", "failed", "for 4 min", "next try in 41 s"),
        (failed(nextTryAt=NOW - 1), "bad", "failed", "for 4 min", "next connection tries it"),
        (failed(probing=True), "warn", "trying again", "for 4 min", ""),
        (failed(drained=True), "off", "failed, drained", "for 4 min", ""),
        (endpoint(drained=True), "off", "drained", "for 30 s", ""),
        (endpoint(weight=0.0), "off", "weight 0", "", ""),
        (endpoint(state="retired", open=3), "off", "retired", "3 still open", ""),
    ],
)
def test_every_state_of_an_endpoint_has_a_word_and_a_shape(
    one: Any, state: str, words: str, note: str, next_: str
) -> None:
    drains = [{"bound": WEB, "address": "10.0.0.1:8080", "since": NOW - 30, "by": None}]
    (router_row,) = shown(frame(router(destination(one)), drains=drains))["routers"]
    (row,) = router_row["destinations"][0]["endpoints"]
    assert (row["state"]["state"], row["state"]["text"], row["note"], row["next"]) == (state, words, note, next_)


def test_an_endpoint_shows_its_load_weight_failures_and_last_error() -> None:
    row = first_endpoint(failed(open=3, pending=2, weight=0.5, failures=1_234, ejections=2))
    assert (row["open"], row["pending"], row["weight"]) == ("3", "+ 2", "0.5")
    assert (row["failures"], row["ejections"]) == ("1\u202f234", "2 ejections")
    assert (row["error"], row["error_at"]) == ("connection refused", "19 s ago")


def test_the_share_of_new_connections_stands_beside_what_the_weights_ask_for() -> None:
    def now(first: int, second: int) -> Frame:
        ends = (endpoint("10.0.0.1:80", connects=first), endpoint("10.0.0.2:80", connects=second, weight=3.0))
        return frame(router(destination(*ends, failed())))

    rows = shown(now(10, 30), now(0, 10))["routers"][0]["destinations"][0]["endpoints"]
    assert [(text(row["share"]), text(row["due"])) for row in rows] == [
        ("33\u202f%", "due 25\u202f%"), ("67\u202f%", "due 75\u202f%"), ("0\u202f%", "due 0\u202f%"),
    ]  # fmt: skip


def test_no_share_is_due_where_not_all_endpoints_are_known_here() -> None:
    (row,) = shown(frame(router(destination(endpoint(), available=60, moreEndpoints=59))))["routers"]
    (one,) = row["destinations"]
    assert one["endpoints"][0]["due"] == ""
    assert one["more"] == "and 59 more endpoints, none in trouble: /bindings.json has all of them"


# -- destinations


@pytest.mark.parametrize(
    ("one", "state", "words"),
    [
        (destination(endpoint(), endpoint("10.0.0.2:80")), "good", "2 of 2 available"),
        (destination(endpoint(), failed()), "warn", "1 of 2 available"),
        (destination(endpoint(), endpoint("10.0.0.2:80", drained=True)), "warn", "1 of 2 available"),
        (destination(failed()), "bad", "0 of 1 available"),
        (destination(endpoint(drained=True)), "bad", "0 of 1 available"),
        (destination(), "bad", "no endpoint"),
        (destination(addr={"type": "neg"}), "bad", "no such name"),
        (destination(addr={"type": "failed", "cause": "x"}), "bad", "look-up failed"),
        (destination(addr={"type": "pending"}), "warn", "not known yet"),
    ],
)
def test_every_state_of_a_destination_has_words_and_a_shape(one: Any, state: str, words: str) -> None:
    (row,) = shown(frame(router(one)))["routers"][0]["destinations"]
    assert (row["state"]["state"], row["state"]["text"]) == (state, words)


def test_destinations_are_open_where_there_are_few_or_in_trouble() -> None:
    def opened(number: int) -> list[bool]:
        many = [destination(endpoint(), bound=f"/#/{n}") for n in range(number)]
        (row,) = shown(frame(router(*many, destination(failed(), bound="/#/z"))))["routers"]
        return [each["open_first"] for each in row["destinations"]]

    assert opened(4) == [True] * 5
    assert opened(5) == [False] * 5 + [True]


def test_many_destinations_have_a_box_to_look_for_them_and_those_left_out_are_counted() -> None:
    many = [destination(endpoint(), bound=f"/#/{n}") for n in range(FILTERED + 1)]
    assert shown(frame(router(*many)))["few"] == ""
    assert shown(frame(router(*many[:FILTERED])))["few"] == "hidden"
    (row,) = shown(frame(router(*many, moreDestinations=112)))["routers"]
    assert row["more"].startswith("and 112 more destinations")


def test_keys_are_ids_and_of_their_own() -> None:
    keys = [
        each["key"]
        for label in ("a", "b")
        for each in shown(frame(router(destination(bound="/x"), destination(bound="/y"), label=label)))["routers"][0][
            "destinations"
        ]
    ]
    assert len(set(keys)) == 4
    assert all(re.fullmatch("a[0-9a-f]{12}", key) for key in keys)


# -- tables


def test_workers_are_a_table_where_there_are_several() -> None:
    two = shown(frame(workers=[worker(0), worker(1, answers=False, why="busy", connections=None)]))
    assert two["no_workers"] == ""
    assert [texts(row)["state"] for row in two["workers"]] == ["serving", "no answer"]
    assert texts(two["workers"][1])["connections"] == "—"
    assert shown(frame())["no_workers"] == "hidden"


def test_namers_say_how_old_what_they_know_is() -> None:
    stale = namer(stale=True, error="503", nextAttemptAt=NOW + 4)
    (row,) = shown(frame(namers=[stale]))["namers"]
    assert (row["state"]["text"], text(row["good"]), row["error"], row["next"]) == (
        "bound, stale", "12 min ago", "503", "in 4 s",
    )  # fmt: skip
    more = namer() | {"moreWatches": 7}
    assert text(shown(frame(namers=[more]))["namers"][-1]["state"]) == (
        "and 7 more names: /namers.json has all of them"
    )
    idle = namer() | {"watches": []}
    assert text(shown(frame(namers=[idle]))["namers"][0]["state"]) == "nothing asked for yet"


@pytest.mark.parametrize(
    ("days", "words", "state"),
    [(89.5, "valid, 89 d left", "good"), (29, "expires in 29 d", "warn"), (6, "expires in 6 d", "bad"),
     (-2, "expired 2 d ago", "bad")],
)  # fmt: skip
def test_certificates_say_how_many_days_are_left(days: float, words: str, state: str) -> None:
    (row,) = shown(frame(certificates=[certificate(days)]))["certificates"]
    assert row["state"] == {"text": words, "state": state}


# -- drawing


TEMPLATES = Environment(loader=PackageLoader("linkerd_tcp.dashboard"), autoescape=True)
ABOUT = {
    "token": "t",
    "version": "1",
    "address": "a",
    "pid": 1,
    "started": "2026-01-31T02:13:41Z",
    "read_only": False,
    "workers": 1,
}


def drawn(of: View, **about: Any) -> str:
    page: str = TEMPLATES.get_template("overview.html").render(
        title="Overview", pages=(), here="/", about=ABOUT | about, view=of
    )
    return page


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile() -> Frame:
    return frame(
        router(
            destination(
                endpoint(lastError=HOSTILE, lastErrorAt=NOW), failed(lastError=HOSTILE), bound=HOSTILE, paths=[HOSTILE]
            ),
            label=HOSTILE,
            servers=[server(names=HOSTILE)],
            unbound=[{"path": HOSTILE, "type": "failed", "cause": HOSTILE}],
        ),
        namers=[namer(name=HOSTILE, stale=True, error=HOSTILE, value=[HOSTILE], state=HOSTILE)],
        certificates=[certificate(1, identity=HOSTILE, where=HOSTILE)],
        reload={"ok": False, "at": NOW, "errors": [HOSTILE]},
        workers=[worker(0), worker(1, answers=False, why=HOSTILE)],
        remarks=[HOSTILE],
        ready=False,
        drains=[{"bound": HOSTILE, "address": "10.0.0.1:8080", "since": NOW, "by": HOSTILE}],
    )


def test_no_name_becomes_markup_and_every_name_is_shown() -> None:
    page = drawn(shown(hostile()))
    plain = {tag for tag, _ in Tags(drawn(shown(frame(router(destination(endpoint(), failed())))))).found}
    assert {tag for tag, _ in Tags(page).found} <= plain | {"bdi"}
    assert not any("onerror" in attributes for _, attributes in Tags(page).found)
    assert page.count("onerror") > 10


def test_names_are_drawn_without_direction_marks_and_controls() -> None:
    exact = re.compile(r' data-(bound|target)="[^"]*"')  # what is sent back has to be exact
    assert not re.search(r"[\u202e\x1b\ud800-\udfff]", exact.sub("", drawn(shown(hostile()))))


def test_no_script_or_style_is_in_the_page() -> None:
    for tag, attributes in Tags(drawn(shown(hostile()))).found:
        assert not any(name == "style" or name.startswith("on") for name in attributes), tag
        assert tag != "style"
        assert tag != "script" or "src" in attributes


def test_all_cells_of_a_row_are_in_the_page_and_in_the_copy_for_rows_to_come() -> None:
    page = drawn(shown(frame(router(destination(endpoint())), namers=[namer()], certificates=[certificate(1)])))
    main, _, templates = page.partition("<template")
    for name in ("endpoints", "servers", "destinations", "namers", "certificates", "workers", "figures", "attention"):
        assert f'data-rows="{name}" data-template="row-{name}"' in page
        assert f'id="row-{name}"' in page
    cells = set(re.findall(r'data-cell="(\w+)"', templates))
    assert set(re.findall(r'data-cell="(\w+)"', main)) - cells <= {
        "ready", "reload", "at", "calm", "news", "few", "more", "no_workers", "no_namers", "no_certificates",
    }  # fmt: skip


def test_every_link_into_the_page_leads_somewhere() -> None:
    everything = frame(
        router(destination(endpoint(), failed()), servers=[server(active=100, most=100)]),
        namers=[namer(stale=True, error="x")],
        certificates=[certificate(1)],
        workers=[worker(0), worker(1, answers=False)],
        history={"until": 1, "total": series(failures=[0.0] * 20 + [9.0] * 3), "destinations": {}},
    )
    tags = Tags(drawn(shown(everything))).found
    ids = [attributes["id"] for _, attributes in tags if attributes.get("id")]
    links = [attributes["href"] or "" for tag, attributes in tags if tag == "a" and attributes.get("href")]
    inner = [link[1:] for link in links if link.startswith("#")]
    assert len(inner) >= 6
    assert set(inner) <= set(ids)
    assert len(set(ids)) == len(ids)


def test_actions_are_absent_where_nothing_may_be_changed() -> None:
    of = shown(frame(router(destination(endpoint()))))
    assert 'class="drain"' in drawn(of)
    assert 'class="drain"' not in drawn(of, read_only=True)
    assert 'class="undo"' not in drawn(of, read_only=True)


# -- many


def busy(number: int) -> Frame:
    ends = [
        [endpoint(f"10.{n}.0.{m}:8080", connects=7 * number + m, open=m, rxBytes=n * number) for m in range(10)]
        for n in range(30)
    ]
    return frame(
        router(*(destination(*each, bound=f"/#/io.l5d.fs/{n}") for n, each in enumerate(ends)), servers=[server()])
    )


def test_what_was_asked_for_twice_is_the_same() -> None:
    assert json.dumps(shown(busy(2), busy(1))) == json.dumps(shown(busy(2), busy(1)))


def test_the_loop_is_let_go_on_between_the_parts() -> None:
    rests: list[float] = []
    now, rates = busy(1), Rates()
    rates.add(now, 0.0)
    view(now, items(now), rates, lambda: rests.append(perf_counter()))
    assert len(rests) >= 30


def test_the_default_certificate_is_called_so_and_the_names_in_it_are_said() -> None:
    default = certificate(90, identity="*", names=["DNS:a.test", "DNS:b.test"], moreNames=3)
    nameless = certificate(90, names=[], subject="CN=old")
    rows = shown(frame(certificates=[default, nameless]))["certificates"]
    assert [(row["identity"], row["names"]) for row in rows] == [
        ("(default)", "DNS:a.test, DNS:b.test and 3 more"),
        ("www.example.com", "CN=old"),
    ]

"""A delegation as rows and as a sentence: what people read agrees with what binding does."""

from typing import Any

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from linkerd_tcp.dashboard import outcome as oc
from linkerd_tcp.dashboard.outcome import Outcome, Outcomes, resolved
from linkerd_tcp.dashboard.sentence import summary
from linkerd_tcp.dashboard.tree import MOST_ADDRESSES, MOST_ROWS, percent, tree
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed, Pending
from linkerd_tcp.naming.bind import bind
from linkerd_tcp.naming.delegate import delegate, to_json
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, EmptyTree, FailTree, Leaf, NegTree, Union, show
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.registry import load
from linkerd_tcp.transformers.wrapped import TransformedInterpreter
from tests.naming.strategies import tangled_dtabs

TWO = Var(Bound((Address("10.0.0.1", 80), Address("10.0.0.2", 80))))
ONE = Var(Bound((Address("10.0.0.3", 80),)))
SVC = Path.read("/svc/web")

ANSWERS: list[Found] = [NEG, NEG, FAIL, EMPTY, PENDING, Failed("the disk is gone")]


def looked_up(names: dict[str, Any]) -> Any:
    """Namers that know these: an address, or what is answered."""

    def lookup(path: Path) -> Found:
        found = names.get(str(path), NEG)
        return Leaf(BoundName(path, found)) if isinstance(found, Var) else found

    return lookup


def shape(dtab: str, path: str = "/svc/web", **names: Any) -> Any:
    known = {f"/{name}": found for name, found in names.items()}
    return to_json(delegate(Dtab.read(dtab), Path.read(path), looked_up(known)))


def said(dtab: str, is_used: bool = True, **names: Any) -> str:
    return summary(shape(dtab, "/svc", **names), "/svc", is_used)["text"]


def of_binding(binding: Binding) -> Any:
    match binding:
        case Leaf():
            return ("leaf", str(binding.value.id), str(binding.value.residual))
        case Union():
            return ("union", tuple((each.weight, of_binding(each.tree)) for each in binding.branches))
        case Pending():
            return ("pending",)
        case Failed():
            return ("failed", binding.cause)
        case FailTree():
            return ("fail",)
        case EmptyTree():
            return ("empty",)
        case NegTree():
            return ("neg",)
    raise AssertionError(binding)


def of_outcome(outcome: Outcome) -> Any:
    match outcome.kind:
        case oc.LEAF:
            assert outcome.bound is not None
            return ("leaf", outcome.bound["id"], outcome.bound["path"])
        case oc.UNION:
            return ("union", tuple((weight, of_outcome(each)) for weight, each in outcome.branches))
        case oc.FAILED:
            return ("failed", outcome.words)
    return (outcome.kind,)


def unshrunk(examples: int) -> Any:
    """Making a failing dtab smaller takes minutes: each example may be a tree of ten thousand steps."""
    return settings(deadline=None, max_examples=examples, phases=(Phase.explicit, Phase.reuse, Phase.generate))


few = st.lists(st.sampled_from("ab"), max_size=3).map(Path)


@unshrunk(60)
@given(tangled_dtabs, few, st.dictionaries(few.map(str), st.sampled_from([*ANSWERS, TWO, ONE]), max_size=6))
def test_the_primary_branch_is_what_binding_takes(dtab: Dtab, path: Path, known: dict[str, Any]) -> None:
    lookup = looked_up(known)
    binding = bind(dtab, path, lookup)
    assume(not (isinstance(binding, Failed) and binding.cause.startswith("More than")))
    outcome = Outcomes(found := to_json(delegate(dtab, path, lookup))).of(found)
    assume(outcome.kind != oc.CUT)
    assert of_outcome(resolved(outcome)) == of_binding(binding)
    taken = {row["key"] for row in tree(found, {}, {}).rows if row["on"] == "yes"}
    assert "0" in taken


@unshrunk(30)
@given(
    tangled_dtabs,
    few,
    st.dictionaries(few.map(str), st.sampled_from([NEG, NEG, FAIL, EMPTY, TWO, ONE]), max_size=6),
    st.sampled_from(["io.l5d.const", "io.l5d.replace", "io.l5d.port"]),
)
def test_it_is_that_before_a_transformer_changes_it(dtab: Dtab, path: Path, known: dict[str, Any], kind: str) -> None:
    hosts = HostResolver()
    utilities = load("utilities", "/$/")(hosts)
    lookup = looked_up(known)

    class All(DefaultInterpreter):
        def _lookup(self, _read: Any, path: Path) -> Found:
            return lookup(path)

    options = {"port": 99} if kind == "io.l5d.port" else {"path": "/$/inet/127.0.0.1/99"}
    config = load("transformer", kind).model_validate({"kind": kind, **options})
    context = TransformerContext(DefaultInterpreter(Dtab(), (), utilities).bind)
    interpreter = TransformedInterpreter(All(dtab, (), utilities), [config.build(context)])
    try:
        binding, delegation = interpreter.bind(path), interpreter.delegation(path)
        assume(not (isinstance(binding.value, Failed) and binding.value.cause.startswith("More than")))
        outcome = Outcomes(found := to_json(delegation.value)).of(found)
        assume(outcome.kind != oc.CUT)
        assert of_outcome(resolved(outcome)) == of_binding(binding.value)
    finally:
        interpreter.close()
        hosts.close()


@pytest.mark.parametrize(
    ("dtab", "names", "words"),
    [
        ("/svc => /web", {"web": TWO}, "A connection to /svc goes to /web: 2 addresses."),
        ("/svc => /a | /web", {"web": ONE}, "A connection to /svc goes to /web: 1 address."),
        (
            "/svc => 3*/web & /b",
            {"web": TWO, "b": ONE},
            "one of 2, by weight: 75 % to /web (2 addresses); 25 % to /b (1",
        ),
        ("/svc => 0*/web & 0*/b", {"web": TWO, "b": ONE}, "50 % to /web (2 addresses); 50 % to /b (1 address)"),
        ("/svc => /web & 3*/gone", {"web": TWO}, "goes to /web: 2 addresses."),
        ("/svc => 2*/web & (/web & /b)", {"web": TWO, "b": ONE}, "83.3 % to /web (2 addresses); 16.7 % to /b (1"),
        ("/svc => /web & $", {"web": TWO}, "50 % to /web (2 addresses); 50 % nowhere (the dtab says $ (empty)"),
        ("/svc => /gone", {}, "A connection to /svc is not found: no rule"),
        ("/svc => ! | /web", {"web": TWO}, "A connection to /svc fails: the dtab says ! (fail)"),
        ("/svc => $", {}, "A connection to /svc fails: the dtab says $ (empty)"),
        ("/svc => /web", {"web": Var(Bound(()))}, "goes to /web: no address, so it fails."),
        ("/svc => /web", {"web": Var(Failed("no route"))}, "addresses cannot be known: no route, so it fails."),
        ("/svc => /web", {"web": Failed("the disk is gone")}, "cannot be bound: the disk is gone. Where it was bound"),
        ("/svc => /web", {"web": PENDING}, "Where a connection to /svc goes is not known yet"),
        ("/svc => /svc", {}, "cannot be bound: Max recursion level: 100 reached in Namer lookup"),
        ("/svc => /svc/a & /svc/b", {}, "Where a connection to /svc goes is not seen here: more than 10000 steps"),
    ],
)
def test_the_sentence_says_where_a_connection_goes_or_why_nowhere(dtab: str, names: dict[str, Any], words: str) -> None:
    assert words in said(dtab, **names)


def test_what_is_only_tried_is_said_as_such() -> None:
    assert said("/svc => /web", is_used=False, web=TWO) == "A connection to /svc would go to /web: 2 addresses."
    assert said("/svc => /web", is_used=False).startswith("A connection to /svc would not be found:")
    assert said("/svc => !", is_used=False).startswith("A connection to /svc would fail:")


def rows_of(dtab: str, numbers: Any = None, states: Any = None, **names: Any) -> list[list[str]]:
    text = [f"{entry.prefix} => {show(entry.dst)}" for entry in Dtab.read(dtab)]
    known = {tuple(each.split(" => ")): [number] for number, each in enumerate(text, 1)}
    drawn = tree(shape(dtab, "/svc", **names), numbers or known, states or {})
    return [[words(row[cell]) for cell in ("depth", "path", "rule", "kind", "part", "place")] for row in drawn.rows]


def words(cell: Any) -> str:
    return str(cell if isinstance(cell, str) else cell["text"])


def test_each_step_has_its_rule_its_kind_and_its_place() -> None:
    states = {"/web": {"10.0.0.1:80": {"text": "failed, next try in 41 s", "state": "bad"}}}
    second = "rule 2: /svc => /a | 3*/web & /b & !"
    assert rows_of("/svc => /web ; /svc => /a | 3*/web & /b & ! ; /a => ~", states=states, web=TWO, b=ONE) == [
        ["0", "/svc", "", "alternatives: the first that is found", "", ""],
        ["1", "/a", second, "leads on", "", "tried: not found, so the next one is tried"],
        ["2", "~", "rule 3: /a => ~", "not found", "", ""],
        ["1", "/svc", second, "a split: one of these for each connection, by weight", "", "taken"],
        ["2", "/web", "", "bound: 2 addresses", "3 of 4 = 75 %", "taken"],
        ["3", "10.0.0.1:80", "", "failed, next try in 41 s", "", ""],
        ["3", "10.0.0.2:80", "", "state not known yet", "", ""],
        ["2", "/b", "", "bound: 1 address", "1 of 4 = 25 %", "taken"],
        ["3", "10.0.0.3:80", "", "state not known yet", "", ""],
        ["2", "!", "", "fails (!): nothing else is tried", "weight 1", "left out: it fails"],
        ["1", "/web", "rule 1: /svc => /web", "bound: 2 addresses", "", "tried only if the one above is not found"],
        ["2", "10.0.0.1:80", "", "failed, next try in 41 s", "", ""],
        ["2", "10.0.0.2:80", "", "state not known yet", "", ""],
    ]  # fmt: skip


def test_entries_that_read_alike_are_all_named() -> None:
    [top, *_] = rows_of("/svc => /web ; /svc => /web", {("/svc", "/web"): [1, 2]}, web=ONE)
    assert top[2] == ""
    assert (
        rows_of("/svc => /web ; /svc => /web", {("/svc", "/web"): [1, 2]}, web=ONE)[1][2] == "rule 1 or 2: /svc => /web"
    )


def test_alternatives_behind_one_that_ends_the_search_are_never_tried() -> None:
    assert rows_of("/svc => ! | /web", web=ONE)[2][5] == "never tried: the one above fails, and that ends the search"
    assert rows_of("/svc => /a | /web", web=ONE, a=PENDING)[2][5] == "not tried while the one above is not known"
    assert rows_of("/svc => /a | /web", web=ONE, a=Failed("x"))[2][5].startswith("not tried: what the one above")


def test_what_connections_come_by_is_told_from_what_they_do_not() -> None:
    drawn = tree(shape("/svc => (! | /web) | /b", "/svc", web=ONE, b=ONE), {}, {})
    on = {row["path"]: row["on"] for row in drawn.rows}
    assert on == {"/svc": "yes", "!": "yes", "/web": "no", "10.0.0.3:80": "no", "/b": "no"}


def test_a_large_tree_is_cut_and_how_much_is_left_out_is_said() -> None:
    wide = tree(shape(" ; ".join(f"/svc => /a{n}" for n in range(1000)), "/svc"), {}, {})
    assert len(wide.rows) == MOST_ROWS
    assert wide.more == 1001 - MOST_ROWS
    many = Var(Bound(tuple(Address("10.0.0.1", port) for port in range(1, 101))))
    rows = tree(shape("/svc => /web", "/svc", web=many), {}, {}).rows
    assert len(rows) == 2 + MOST_ADDRESSES + 1
    assert rows[-1]["path"] == "and 80 more addresses"


def test_names_of_strangers_are_made_harmless() -> None:
    hostile = Path(("svc", "<img src=x>\u202e"))
    found = to_json(delegate(Dtab.read("/svc => /web"), hostile, lambda _: Failed("\u202e\x1b[31m" * 300)))
    drawn = tree(found, {}, {})
    for row in drawn.rows:
        assert all(len(words(cell)) < 1300 and words(cell).isprintable() for cell in row.values())
    assert summary(found, str(hostile), True)["text"].isprintable()


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.75, "75 %"), (1 / 3, "33.3 %"), (1, "100 %"), (0.9999, "99.99 %"), (1e-9, "< 0.01 %"), (0.0025, "0.25 %")],
)
def test_a_share_is_rounded_and_never_to_all_or_nothing(part: float, text: str) -> None:
    assert percent(part) == text


def test_weights_beyond_what_adds_up_still_have_shares() -> None:
    assert oc.shares([1.5e308, 1.5e308, 0.0]) == [0.5, 0.5, 0.0]

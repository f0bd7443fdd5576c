import copy
import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.naming.bind import MAX_NESTED_UNIONS
from linkerd_tcp.naming.delegate import delegate
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, Leaf, Union, Weighted, map_leaves
from linkerd_tcp.naming.nametree import NEG as NEG_TREE
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.shapes import addr_json, binding_json, to_json
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.wire import namerd
from linkerd_tcp.wire.json_documents import JsonDocuments
from linkerd_tcp.wire.namerd import BoundLeaf, read_addr, read_delegation, read_tree
from linkerd_tcp.wire.parsing import WireError
from tests.naming.strategies import dtabs, paths, trees

A = {"ip": "10.0.0.1", "port": 80, "meta": {}}


def bound(*addresses: Any) -> dict[str, Any]:
    return {"type": "bound", "addrs": list(addresses), "meta": {}}


def leaf(addr: Any, bound_id: str = "/#/fs/web", residual: str = "/") -> dict[str, Any]:
    return {"type": "leaf", "bound": {"addr": addr, "id": bound_id, "path": residual}}


def a_leaf(addr: Addr, bound_id: str = "/#/fs/web", residual: str = "/") -> Leaf[BoundLeaf]:
    return Leaf(BoundLeaf(Path.read(bound_id), Path.read(residual), addr))


# -- addresses


@pytest.mark.parametrize(
    ("document", "addr"),
    [
        ({"type": "neg"}, NEG),
        ({"type": "neg", "addrs": [], "meta": {}}, NEG),
        ({"type": "pending"}, PENDING),
        ({"type": "failed", "cause": "no route"}, Failed("no route")),
        ({"type": "failed"}, Failed("failed, and namerd does not say why")),
        ({"type": "failed", "cause": "a\nb\x1b\ud800"}, Failed("a\\nb\\x1b\\ud800")),
        (bound(), Bound(())),
        ({"type": "bound", "addrs": []}, Bound(())),
        (bound(A), Bound((Address("10.0.0.1", 80),))),
        (bound(A, A, {**A, "meta": {"x": 1}}), Bound((Address("10.0.0.1", 80),))),
        ({**bound(A), "meta": {"authority": "web", "ssl": True, "n": {"x": [1]}}, "more": 1},
         Bound((Address("10.0.0.1", 80),), {"authority": "web", "ssl": True, "n": {"x": [1]}})),
        (bound({"ip": "::1", "port": 1}), Bound((Address("::1", 1),))),
        (bound({"ip": "[2001:DB8::0:1]", "port": 1}), Bound((Address("2001:db8::1", 1),))),
        (bound({"ip": "fe80::1%eth0", "port": 1}), Bound((Address("fe80::1%eth0", 1),))),
        (bound({**A, "meta": {"endpoint_addr_weight": 0.5}}), Bound((Address("10.0.0.1", 80, 0.5),))),
        (bound({**A, "meta": {"endpoint_addr_weight": 0, "zone": "a"}}),
         Bound((Address("10.0.0.1", 80, 0.0, {"zone": "a"}),))),
        (bound({**A, "meta": {"nodeName": "n1", "deep": {"x": [None]}}}),
         Bound((Address("10.0.0.1", 80, 1.0, {"nodeName": "n1", "deep": {"x": [None]}}),))),
        (bound({**A, "meta": None}), Bound((Address("10.0.0.1", 80),))),
        (bound({**A, "meta": "text"}), Bound((Address("10.0.0.1", 80),))),
    ],
)  # fmt: skip
def test_every_shape_of_an_address_set_is_read(document: Any, addr: Addr) -> None:
    assert read_addr(document) == addr


@pytest.mark.parametrize("weight", ["1", "NaN", None, True, [], {}, -1, -0.001, float("inf"), 10**400])
def test_a_weight_that_is_none_counts_as_one(weight: Any) -> None:
    addr = read_addr(bound({**A, "meta": {"endpoint_addr_weight": weight}}))
    assert addr == Bound((Address("10.0.0.1", 80),))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ip": "web.example", "port": 80}, "addrs[0].ip: expected an IP address, found 'web.example'"),
        ({"ip": "10.0.0.256", "port": 80}, "addrs[0].ip: expected an IP address, found '10.0.0.256'"),
        ({"ip": "10.0.0.1\n", "port": 80}, "addrs[0].ip: expected an IP address, found '10.0.0.1\\n'"),
        ({"ip": "fe80::1%a b", "port": 80}, "addrs[0].ip: expected an IP address, found 'fe80::1%a b'"),
        ({"ip": "٣.0.0.1", "port": 80}, "addrs[0].ip: expected an IP address, found '\\u0663.0.0.1'"),
        ({"ip": 1, "port": 80}, "addrs[0].ip: expected an IP address, found 1"),
        ({"port": 80}, "addrs[0].ip: expected an IP address, found nothing"),
        ({"ip": "10.0.0.1"}, "addrs[0].port: expected a port from 1 to 65535, found nothing"),
        ({"ip": "10.0.0.1", "port": 0}, "addrs[0].port: expected a port from 1 to 65535, found 0"),
        ({"ip": "10.0.0.1", "port": 65536}, "addrs[0].port: expected a port from 1 to 65535, found 65536"),
        ({"ip": "10.0.0.1", "port": True}, "addrs[0].port: expected a port from 1 to 65535, found True"),
        ({"ip": "10.0.0.1", "port": "80"}, "addrs[0].port: expected a port from 1 to 65535, found '80'"),
        ("10.0.0.1:80", "addrs[0]: expected an address, found '10.0.0.1:80'"),
    ],
)
def test_an_address_that_cannot_be_used_is_left_out_and_told_and_a_set_of_none_else_is_refused(
    wrong: Any, words: str
) -> None:
    told: list[str] = []
    assert read_addr(bound(wrong, A), told.append) == Bound((Address("10.0.0.1", 80),))
    assert told == [words]
    with pytest.raises(WireError) as caught:
        read_addr(bound(wrong))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "document",
    [
        None, 1, "neg", [], {}, {"type": 1}, {"type": "Neg"}, {"type": "leaf"}, {"type": "bound"},
        {"type": "bound", "addrs": None}, {"type": "bound", "addrs": {}},
    ],
)  # fmt: skip
def test_what_is_no_address_set_takes_no_endpoint_away(document: Any) -> None:
    with pytest.raises(WireError):
        read_addr(document)


def test_addresses_are_bounded_and_read_in_slices() -> None:
    pauses: list[int] = []
    many = [{"ip": f"10.0.{n // 250}.{n % 250}", "port": 80} for n in range(640)]
    addr = read_addr(bound(*many), pause=lambda: pauses.append(1))
    assert isinstance(addr, Bound)
    assert (len(addr.addresses), len(pauses)) == (640, 10)
    with pytest.raises(WireError, match="at most 100000 addresses"):
        read_addr({"type": "bound", "addrs": [A] * (namerd.MAX_ADDRESSES + 1)})


# -- bound trees


@pytest.mark.parametrize(
    ("document", "tree"),
    [
        ({"type": "neg"}, NEG_TREE),
        ({"type": "fail"}, FAIL),
        ({"type": "empty"}, EMPTY),
        ({"type": "pending"}, PENDING),
        ({"type": "failed", "cause": "x"}, Failed("x")),
        (leaf(bound(A), residual="/x/y"), a_leaf(Bound((Address("10.0.0.1", 80),)), residual="/x/y")),
        ({"type": "leaf", "bound": {"id": "/#/fs/web"}}, a_leaf(PENDING)),
        (leaf({"type": "neg"}), a_leaf(NEG)),
        (leaf({"type": "pending"}, "/%/io.l5d.port/80/#/fs/web"), a_leaf(PENDING, "/%/io.l5d.port/80/#/fs/web")),
        ({"type": "union", "union": [{"weight": 0.9, "tree": leaf(None, "/#/a")},
                                     {"weight": 0.1, "tree": leaf(None, "/#/b")}]},
         Union((Weighted(0.9, a_leaf(PENDING, "/#/a")), Weighted(0.1, a_leaf(PENDING, "/#/b"))))),
        ({"type": "union", "union": [{"weight": 0, "tree": leaf(None, "/#/a")},
                                     {"weight": 1, "tree": {"type": "neg"}}]},
         a_leaf(PENDING, "/#/a")),
        ({"type": "union", "union": []}, NEG_TREE),
        ({"type": "alt", "alt": [{"type": "neg"}, leaf(None, "/#/a"), leaf(None, "/#/b")]}, a_leaf(PENDING, "/#/a")),
        ({"type": "alt", "alt": [{"type": "neg"}, {"type": "fail"}, leaf(None)]}, FAIL),
        ({"type": "alt", "alt": []}, NEG_TREE),
    ],
)  # fmt: skip
def test_every_shape_of_a_bound_tree_is_read(document: Any, tree: Any) -> None:
    assert read_tree(document) == tree


def deep(levels: int) -> Any:
    document = leaf(None)
    for _ in range(levels):
        document = {"type": "union", "union": [{"weight": 1, "tree": document}, {"weight": 1, "tree": leaf(None)}]}
    return document


@pytest.mark.parametrize(
    "document",
    [
        None, [], {}, {"type": "delegate"}, {"type": "leaf"}, {"type": "leaf", "bound": {}},
        leaf(bound(A), "web"), leaf(bound(A), residual="x"), leaf({"type": "no"}), leaf([]),
        {"type": "leaf", "bound": {"id": 1}},
        {"type": "union"}, {"type": "union", "union": [leaf(None)]}, {"type": "union", "union": ["x"]},
        {"type": "union", "union": [{"weight": -1, "tree": leaf(None)}]},
        {"type": "union", "union": [{"weight": "much", "tree": leaf(None)}]},
        {"type": "union", "union": [{"weight": float("inf"), "tree": leaf(None)}]},
        {"type": "alt"}, {"type": "alt", "alt": [1]},
        deep(100),
        {"type": "alt", "alt": [leaf(None)] * 1001},
    ],
    ids=lambda document: str(document)[:40],
)  # fmt: skip
def test_what_is_no_bound_tree_is_refused(document: Any) -> None:
    with pytest.raises(WireError):
        read_tree(document)


def test_unions_as_deep_as_ours_are_read() -> None:
    assert isinstance(read_tree(deep(MAX_NESTED_UNIONS)), Union)


# -- delegations


def test_a_delegation_of_namerd_s_is_read() -> None:
    document = json.loads("""
        {"type":"delegate","path":"/yeezy","delegate":{"type":"alt","path":"/yeezus","dentry":
         {"prefix":"/yeezy","dst":"0.50*/yeezus & /x"},"alt":[{"type":"neg","path":"~"},
         {"type":"exception","path":"/b","message":"no"},
         {"type":"transformation","path":"/c","name":"port","bound":{"addr":{"type":"neg"},"id":"/#/c","path":"/"},
          "tree":{"type":"leaf","path":"/c","bound":{"addr":{"type":"neg"},"id":"/%/port/#/c","path":"/r"}}}]}}
    """)
    tree = read_delegation(document)
    [alt] = tree.trees
    assert (tree.step, str(tree.path), alt.step, str(alt.dentry)) == (
        Step.DELEGATE, "/yeezy", Step.ALT, "/yeezy=>0.5*/yeezus & /x",
    )  # fmt: skip
    neg, exception, changed = alt.trees
    assert (neg.path, exception.message, changed.message) == (None, "no", "port")
    assert changed.bound is not None
    [after] = changed.trees
    assert after.bound is not None
    assert (str(changed.bound.id), str(after.bound.id), str(after.bound.residual)) == ("/#/c", "/%/port/#/c", "/r")


@pytest.mark.parametrize(
    "document", [None, [], {}, {"type": "huh"}, {"type": "leaf"}, {"type": "alt"}, {"type": "delegate"},
                 {"type": "union", "union": [{}]}, {"type": "transformation", "path": "/"}]
)  # fmt: skip
def test_what_is_no_delegation_is_refused(document: Any) -> None:
    with pytest.raises(WireError):
        read_delegation(document)


def test_a_delegation_too_deep_or_too_large_is_cut_off_and_says_so() -> None:
    document: Any = {"type": "neg", "path": "/end"}
    for _ in range(190):
        document = {"type": "delegate", "path": "/a", "delegate": document}
    nodes = list(read_delegation(document).walk())
    assert (len(nodes), nodes[-1].step) == (namerd.MAX_NESTING + 2, Step.EXCEPTION)
    wide = {"type": "alt", "path": "/", "alt": [{"type": "neg", "path": "/"}] * 20_000}
    nodes = list(read_delegation(wide).walk())
    assert (len(nodes), nodes[-1].step) == (namerd.MAX_NODES + 1, Step.EXCEPTION)


# -- what we write is read as it was; what nobody should write does no harm

ips = st.ip_addresses().map(str)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
metas = st.dictionaries(st.text(max_size=4), json_values, max_size=2)
weights = st.floats(0, 1e9)
address_lists = st.lists(
    st.builds(Address, ips, st.integers(1, 65535), weights, metas), max_size=3, unique_by=lambda each: str(each)
).map(tuple)
causes = st.text("abc ", min_size=1)
addrs: st.SearchStrategy[Addr] = st.sampled_from([NEG, PENDING]) | st.builds(Failed, causes) | st.builds(
    Bound, address_lists, metas
)  # fmt: skip
names = st.builds(BoundName, paths, addrs.map(Var), paths)
bindings = trees(leaves=names, weights=weights) | st.just(PENDING) | st.builds(Failed, causes)


def through_text(document: Any) -> Any:
    [value] = JsonDocuments().feed(json.dumps(document).encode())
    return value


@given(addrs)
def test_addresses_that_we_write_are_read_as_they_were(addr: Addr) -> None:
    assert read_addr(through_text(addr_json(addr))) == addr


@given(bindings)
def test_bindings_that_we_write_mean_what_they_meant(binding: Binding) -> None:
    tree = read_tree(through_text(binding_json(binding)))
    again = map_leaves(tree, lambda leaf: BoundName(leaf.id, Var(leaf.addr), leaf.residual))  # type: ignore[arg-type]
    if isinstance(tree, Leaf | Union):
        assert read_tree(through_text(binding_json(again))) == tree
    if isinstance(binding, Leaf):
        assert (again, again.value.addr.value) == (binding, binding.value.addr.value)


@given(dtabs, paths)
def test_delegations_that_we_write_are_read_as_they_were(dtab: Dtab, path: Path) -> None:
    tree = delegate(dtab, path, lambda asked: Leaf(BoundName(asked, Var(NEG), ROOT)) if len(asked) > 2 else NEG_TREE)
    # Entries that lead to themselves make trees of thousands of steps; those were cut off by us already.
    assume(len(list(islice(tree.walk(), 200))) < 200)
    document = to_json(tree)
    again: DelegateTree = read_delegation(through_text(document))
    assert to_json(again) == document


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in inner] + [place for _, each in inner for place in places(each)]


@given(st.data())
def test_whatever_is_changed_in_a_document_only_wire_errors_come_out(data: st.DataObject) -> None:
    documents = st.one_of(addrs.map(addr_json), bindings.map(binding_json))
    document = copy.deepcopy(data.draw(documents))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(json_values | st.sampled_from(["leaf", "union", "bound", "/a", -1, float("inf")]))
    for read in (read_addr, read_tree, read_delegation):
        value_or_wire_error(read, document)


@given(json_values)
def test_whatever_comes_only_wire_errors_come_out(value: Any) -> None:
    for read in (read_addr, read_tree, read_delegation):
        value_or_wire_error(read, value)
        value_or_wire_error(read, {"type": value})


def value_or_wire_error(read: Any, value: Any) -> None:
    try:
        assert read(value) is not None
    except WireError as error:
        said = str(error)
    else:
        said = ""
    assert said.isascii()

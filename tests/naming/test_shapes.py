import pytest

from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import NEG, PENDING, Address, Bound, Failed
from linkerd_tcp.naming.delegate import addr_json, binding_json, delegate, explain, to_json
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, Leaf, Union, Weighted
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var

TWO = Bound((Address("10.0.0.1", 80), Address("::1", 81, 0.5, {"zone": "a"})))
TWO_JSON = {
    "type": "bound",
    "addrs": [
        {"ip": "10.0.0.1", "port": 80, "meta": {}},
        {"ip": "::1", "port": 81, "meta": {"zone": "a", "endpoint_addr_weight": 0.5}},
    ],
    "meta": {},
}


def leaf(addr, text="/#/fs/web", residual="/"):
    return Leaf(BoundName(Path.read(text), Var(addr), Path.read(residual)))


@pytest.mark.parametrize(
    ("addr", "json"),
    [
        (TWO, TWO_JSON),
        (Bound((), {"authority": "web"}), {"type": "bound", "addrs": [], "meta": {"authority": "web"}}),
        (NEG, {"type": "neg"}),
        (PENDING, {"type": "pending"}),
        (Failed("no route"), {"type": "failed", "cause": "no route"}),
    ],
)
def test_an_address_has_namerd_s_shape(addr, json):
    assert addr_json(addr) == json


@pytest.mark.parametrize(
    ("binding", "json"),
    [
        (
            leaf(TWO, residual="/x"),
            {"type": "leaf", "bound": {"addr": TWO_JSON, "id": "/#/fs/web", "path": "/x"}},
        ),
        (
            Union((Weighted(0.3, leaf(NEG)), Weighted(0.7, EMPTY))),
            {
                "type": "union",
                "union": [
                    {
                        "weight": 0.3,
                        "tree": {"type": "leaf", "bound": {"addr": {"type": "neg"}, "id": "/#/fs/web", "path": "/"}},
                    },
                    {"weight": 0.7, "tree": {"type": "empty"}},
                ],
            },
        ),
        (nametree.NEG, {"type": "neg"}),
        (FAIL, {"type": "fail"}),
        (EMPTY, {"type": "empty"}),
        (PENDING, {"type": "pending"}),
        (Failed("gone"), {"type": "failed", "cause": "gone"}),
        (nametree.Alt((FAIL, EMPTY)), {"type": "alt", "alt": [{"type": "fail"}, {"type": "empty"}]}),
    ],
)
def test_a_binding_has_namerd_s_shape(binding, json):
    assert binding_json(binding) == json


ANSWERS = {
    "/#/fs/web": leaf(TWO),
    "/#/fs/none": leaf(Bound(()), "/#/fs/none"),
    "/#/fs/gone": leaf(NEG, "/#/fs/gone", "/x"),
    "/#/fs/slow": leaf(PENDING, "/#/fs/slow"),
    "/#/fs/bad": leaf(Failed("line 3"), "/#/fs/bad"),
    "/#/fs/unknown": PENDING,
    "/#/fs/broken": Failed("not a folder"),
    "/$/nil": EMPTY,
}


def delegated(dtab, path):
    return delegate(Dtab.read(dtab), Path.read(path), lambda name: ANSWERS.get(str(name), nametree.NEG))


def test_a_delegation_has_namerd_s_shape_literal_ends_included():
    tree = delegated("/svc => 0.3*/#/fs & 0.7*(~ | !)", "/svc/web")
    dentry = {"prefix": "/svc", "dst": "0.3*/#/fs & 0.7*(~ | !)"}
    bound = {"addr": TWO_JSON, "id": "/#/fs/web", "path": "/"}
    ends = [{"type": "neg", "path": "~", "dentry": dentry}, {"type": "fail", "path": "!", "dentry": dentry}]
    assert to_json(tree) == {
        "type": "union",
        "path": "/svc/web",
        "union": [
            {"weight": 0.3, "tree": {"type": "leaf", "path": "/#/fs/web", "dentry": dentry, "bound": bound}},
            {"weight": 0.7, "tree": {"type": "alt", "path": "/svc/web", "dentry": dentry, "alt": ends}},
        ],
    }


def test_errors_and_pending_names_have_their_own_types():
    json = to_json(delegated("/svc => /#/fs/broken | /#/fs/unknown", "/svc"))
    dentry = {"prefix": "/svc", "dst": "/#/fs/broken | /#/fs/unknown"}
    assert json["alt"] == [
        {"type": "exception", "path": "/#/fs/broken", "dentry": dentry, "message": "not a folder"},
        {"type": "pending", "path": "/#/fs/unknown", "dentry": dentry},
    ]


def test_an_explanation_goes_step_by_step_down_to_addresses_and_states():
    dtab = "/svc => /#/fs ; /svc/all => 2*/svc/web & /svc/none & 0.5*/#/fs/gone ; /svc/all => ~ | /svc/odd"
    lines = explain(delegated(dtab, "/svc/all"))
    all_three = "(/svc/all => 2*/svc/web & /svc/none & 0.5*/#/fs/gone)"
    assert lines == [
        "/svc/all: the first of these that is found",
        "  ~  (/svc/all => ~ | /svc/odd): not found",
        "  /svc/odd  (/svc/all => ~ | /svc/odd)",
        "    /#/fs/odd  (/svc => /#/fs): not found",
        f"  /svc/all  {all_three}: one of these for each connection, by weight",
        f"    2* /svc/web  {all_three}",
        "      /#/fs/web  (/svc => /#/fs)",
        "        bound to /#/fs/web",
        "          10.0.0.1:80",
        "          [::1]:81 weight 0.5",
        f"    1* /svc/none  {all_three}",
        "      /#/fs/none  (/svc => /#/fs)",
        "        bound to /#/fs/none",
        "          no address",
        f"    0.5* /#/fs/gone  {all_three}",
        "      bound to /#/fs/gone, left over /x",
        "        no such address",
        "  /#/fs/all  (/svc => /#/fs): not found",
    ]


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/#/fs/slow", "    addresses not known yet"),
        ("/#/fs/bad", "    failed: line 3"),
        ("/#/fs/unknown", "/#/fs/unknown: not known yet"),
        ("/#/fs/broken", "/#/fs/broken: not a folder"),
        ("/$/nil", "/$/nil: exists, with no address"),
        ("/fail", "  !  (/fail => !): fails, and nothing else is tried"),
        ("/loop", "/loop: Max recursion level: 100 reached in Namer lookup"),
    ],
)
def test_every_state_is_said(path, last):
    assert explain(delegated("/fail => ! ; /loop => /loop", path))[-1] == last

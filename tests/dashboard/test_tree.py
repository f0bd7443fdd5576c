"""A delegation as rows and as a sentence: what people read agrees with what binding does."""

from typing import Any

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from linkerd_tcp.dashboard import outcome as oc
from linkerd_tcp.dashboard.outcome import Outcome, Outcomes, ends, resolved
from linkerd_tcp.dashboard.sentence import summary
from linkerd_tcp.dashboard.tree import MOST_ADDRESSES, MOST_ROWS, percent, tree
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed, Pending
from linkerd_tcp.naming.bind import bind
from linkerd_tcp.naming.delegate import delegate, to_json
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, EmptyTree, FailTree, Leaf, NegTree, Union
from linkerd_tcp.naming.path import Path
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
    from linkerd_tcp.naming.transformer import TransformerContext

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

import gc

import pytest

from linkerd_tcp import registry
from linkerd_tcp.interpreters.default import DefaultConfig, DefaultInterpreter
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed
from linkerd_tcp.naming.delegate import Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.namer import InterpreterContext, NamerFigures
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Leaf, Union, Weighted
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.testing import InterpreterContract


def path(text):
    return Path.read(text)


def bound(text, residual="/"):
    return BoundName(path(text), Var(Bound(())), path(residual))


def leaf(text):
    return Leaf(bound(text))


class FakeNamer:
    """Answers as told, Neg to anything else; knows who is watching."""

    kind = "fake"

    def __init__(self, prefix="/fake", **answers):
        self.prefix = path(prefix)
        self.figures = NamerFigures()
        self.answers = {path(f"/{key}"): value for key, value in answers.items()}
        self.open = []
        self.asked = []

    def start(self):
        pass

    def lookup(self, name):
        self.asked.append(str(name))
        watch = Var(self.answers.get(name, NEG), lambda: self.open.remove((name, watch)))
        self.open.append((name, watch))
        return watch

    def set(self, name, value):
        self.answers[path(name)] = value
        for key, watch in tuple(self.open):
            if key == path(name):
                watch.set(value)

    @property
    def watched(self):
        return sorted(str(name) for name, _ in self.open)

    def watches(self):
        return []

    def close(self):
        pass


def interpreter(dtab, *namers, utilities=None):
    return DefaultInterpreter(Dtab.read(dtab), namers, utilities or FakeNamer("/"))


def test_the_registry_s_default_kind_builds_it():
    config = registry.load("interpreter", "default").model_validate({"kind": "default"})
    assert isinstance(config, DefaultConfig)
    built = config.build(
        InterpreterContext(
            "default", Dtab.read("/svc => /#/fake"), [FakeNamer(web=leaf("/#/fake/web"))], FakeNamer("/")
        )
    )
    assert built.bind(path("/svc/web")).value == leaf("/#/fake/web")
    assert (built.kind, str(built.dtab)) == ("default", "/svc=>/#/fake")


def test_a_binding_follows_its_namer_without_traffic():
    namer = FakeNamer()
    watch = interpreter("/svc => /#/fake", namer).bind(path("/svc/web"))
    told = []
    watch.observe(told.append)
    assert watch.value == NEG
    namer.set("/web", PENDING)
    namer.set("/web", leaf("/#/fake/web"))
    namer.set("/web", Failed("bad file"))
    assert told == [PENDING, leaf("/#/fake/web"), Failed("bad file")]


def test_fallback_is_left_as_soon_as_the_preferred_name_appears_and_its_watch_closed():
    namer = FakeNamer(old=leaf("/#/fake/old"))
    watch = interpreter("/svc => /#/fake/new | /#/fake/old", namer).bind(path("/svc"))
    assert watch.value == leaf("/#/fake/old")
    assert namer.watched == ["/new", "/old"]
    namer.set("/new", leaf("/#/fake/new"))
    assert watch.value == leaf("/#/fake/new")
    assert namer.watched == ["/new"]
    namer.set("/new", NEG)
    assert watch.value == leaf("/#/fake/old")


def test_the_last_good_binding_stays_live_while_the_new_one_is_not_known():
    namer = FakeNamer(old=leaf("/#/fake/old"))
    watch = interpreter("/svc => /#/fake/new | /#/fake/old", namer).bind(path("/svc"))
    namer.set("/new", PENDING)
    assert watch.value == PENDING
    assert namer.watched == ["/new", "/old"]
    namer.set("/new", leaf("/#/fake/new"))
    assert namer.watched == ["/new"]


def test_the_addresses_of_a_bound_name_are_the_namer_s_own_live_ones():
    name = bound("/#/fake/web", "/x")
    watch = interpreter("", FakeNamer(web=Leaf(name))).bind(path("/#/fake/web"))
    addresses = []
    watch.value.value.addr.observe(addresses.append)
    name.addr.set(Bound((Address("127.0.0.1", 80),)))
    assert addresses == [Bound((Address("127.0.0.1", 80),))]


def test_namers_are_asked_last_configured_first_until_one_does_not_say_neg():
    first = FakeNamer("/x", **{"y/web": leaf("/#/x/y/web")})
    other = FakeNamer("/z")
    last = FakeNamer("/x/y")
    watch = interpreter("", first, other, last).bind(path("/#/x/y/web"))
    assert watch.value == leaf("/#/x/y/web")
    assert (last.asked, other.asked, first.asked) == (["/web"], [], ["/y/web"])
    for answer in (PENDING, Failed("down"), FAIL, EMPTY):
        last.set("/web", answer)
        assert watch.value == answer


def test_one_id_from_another_namer_is_told_for_its_other_addresses():
    first, last = (FakeNamer("/x", web=Leaf(bound("/#/x/web"))) for _ in range(2))
    watch = interpreter("", first, last).bind(path("/#/x/web"))
    told = []
    watch.observe(told.append)
    last.set("/web", NEG)
    assert told == [leaf("/#/x/web")]
    assert told[0].value.addr is first.answers[path("/web")].value.addr


@pytest.mark.parametrize("name", ["/svc/web", "/", "/#", "/#/other/web", "/%/x", "/fake/web"])
def test_what_nobody_is_there_to_look_up_is_neg(name):
    assert interpreter("", FakeNamer(web=leaf("/x"))).bind(path(name)).value == NEG


def test_utility_names_are_always_there():
    utilities = FakeNamer("/", nil=EMPTY)
    assert interpreter("/svc => /$/nil", utilities=utilities).bind(path("/svc")).value == EMPTY
    assert utilities.asked == ["/nil"]


def test_a_namer_that_answers_with_a_path_sends_it_through_the_dtab():
    namer = FakeNamer(alias=Leaf(path("/svc/web")), web=leaf("/#/fake/web"))
    watch = interpreter("/svc => /#/fake", namer).bind(path("/#/fake/alias"))
    assert watch.value == leaf("/#/fake/web")
    namer.set("/alias", Leaf(path("/svc/gone")))
    assert watch.value == NEG
    assert namer.watched == ["/alias", "/gone"]


def test_another_dtab_rebinds_every_open_binding_at_once():
    namer = FakeNamer(a=leaf("/#/fake/a"), b=leaf("/#/fake/b"))
    built = interpreter("/svc => /#/fake/a", namer)
    watches = [built.bind(path("/svc")) for _ in range(3)]
    closed = built.bind(path("/svc"))
    closed.close()
    told = []
    watches[0].observe(told.append)
    built.set_dtab(Dtab.read("/svc => /#/fake/b"))
    assert [watch.value for watch in watches] == [leaf("/#/fake/b")] * 3
    assert told == [leaf("/#/fake/b")]
    assert namer.watched == ["/b"] * 3
    assert closed.value == leaf("/#/fake/a")


def test_a_weighted_union_is_kept_with_its_weights_and_loses_branches_as_they_go():
    namer = FakeNamer(a=leaf("/#/fake/a"), b=leaf("/#/fake/b"))
    watch = interpreter("/svc => 0.9*/#/fake/a & 0.1*/#/fake/b", namer).bind(path("/svc"))
    assert watch.value == Union((Weighted(0.9, leaf("/#/fake/a")), Weighted(0.1, leaf("/#/fake/b"))))
    namer.set("/b", NEG)
    assert watch.value == leaf("/#/fake/a")


def test_a_namer_that_changes_while_it_is_asked_is_asked_no_deeper():
    class Eager(FakeNamer):
        def lookup(self, name):
            watch = super().lookup(name)
            self.set("/a", leaf(f"/#/fake/a{len(self.asked)}"))
            return watch

    namer = Eager()
    watch = interpreter("/svc => /#/fake/a & /#/fake/b & /#/fake/c", namer).bind(path("/svc"))
    assert watch.value == namer.answers[path("/a")]


def test_closed_bindings_leave_nothing_behind():
    namer = FakeNamer(**{f"n{n}": leaf(f"/#/fake/n{n}") for n in range(50)})
    built = interpreter("/svc => /#/fake ; /svc => /#/fake/new", namer)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        watches = [built.bind(path(f"/svc/n{n}")) for n in range(50)]
        namer.set("/n1", NEG)
        namer.set("/n1", leaf("/#/fake/n1"))
        for watch in watches:
            watch.close()
    namer.asked.clear()
    del watches, watch
    gc.collect()
    assert namer.open == []
    assert len(gc.get_objects()) - before < 100


def test_closing_the_interpreter_closes_its_bindings_and_not_its_namers():
    namer = FakeNamer(web=leaf("/#/fake/web"))
    built = interpreter("/svc => /#/fake", namer)
    watch = built.bind(path("/svc/web"))
    told = []
    watch.observe(told.append)
    built.close()
    namer.set("/web", NEG)
    assert (namer.open, told) == ([], [])


def test_delegation_shows_every_step_lets_extra_entries_win_and_leaves_nothing_open():
    namer = FakeNamer(web=leaf("/#/fake/web"))
    built = interpreter("/svc => /#/fake", namer)
    tree = built.delegate(path("/svc/web"), Dtab.read("/svc => /#/none"))
    assert [(str(each.path), each.step) for each in tree.trees] == [
        ("/#/none/web", Step.NEG),
        ("/#/fake/web", Step.LEAF),
    ]
    assert namer.open == []
    assert str(built.dtab) == "/svc=>/#/fake"
    assert built.delegate(path("/svc/web")).step is Step.DELEGATE


def test_a_live_delegation_follows_until_it_is_known():
    namer = FakeNamer(web=PENDING)
    watch = interpreter("/svc => /#/fake", namer).delegation(path("/svc/web"))
    assert watch.value.is_pending
    namer.set("/web", leaf("/#/fake/web"))
    assert not watch.value.is_pending
    watch.close()
    assert namer.open == []


class TestDefault(InterpreterContract):
    settle_secs = 0

    @pytest.fixture
    def interpreter(self):
        web = BoundName(path("/#/fake/web"), Var(Bound((Address("127.0.0.1", 80),))))
        built = interpreter("/svc => /#/fake | /#/none ; /loop => /loop/x", FakeNamer(web=Leaf(web)))
        yield built
        built.close()

    @pytest.fixture
    def known(self):
        return path("/svc/web")

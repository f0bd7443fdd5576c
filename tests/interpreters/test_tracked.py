import pytest

from linkerd_tcp.interpreters.tracked import MAX_ROUNDS, Tracked
from linkerd_tcp.naming.watch import Var


class Sources:
    """Watches by name, each with a value that can be set, and which of them are open."""

    def __init__(self, **values):
        self.values = values
        self.open = {}
        self.opened = 0

    def watch(self, name):
        assert name not in self.open, f"{name} is open already"
        var = self.open[name] = Var(self.values[name], lambda: self.open.pop(name))
        self.opened += 1
        return var

    def set(self, name, value):
        self.values[name] = value
        if name in self.open:
            self.open[name].set(value)


def tracked(sources, compute, settled=lambda _: True):
    closed = []
    found = Tracked(
        lambda read: compute(lambda name: read(name, lambda: sources.watch(name))),
        settled,
        lambda old, new: old == new,
        closed.append,
    )
    return found, closed


def test_the_value_follows_what_it_was_computed_from():
    sources = Sources(a=1, b=10)
    total, _ = tracked(sources, lambda read: read("a") + read("b"))
    told = []
    total.observe(told.append)
    sources.set("a", 2)
    sources.set("b", 20)
    assert (total.value, told) == (22, [12, 22])


def test_only_what_was_read_last_stays_open():
    sources = Sources(which="a", a=1, b=2)
    chosen, _ = tracked(sources, lambda read: read(read("which")))
    assert sources.open.keys() == {"which", "a"}
    sources.set("which", "b")
    assert sources.open.keys() == {"which", "b"}
    assert chosen.value == 2
    assert sources.opened == 3


def test_a_watch_read_twice_is_opened_once():
    sources = Sources(a=1)
    tracked(sources, lambda read: read("a") + read("a"))
    assert sources.opened == 1


def test_observers_move_before_what_they_leave_is_closed():
    sources = Sources(which="a", a=1, b=2)
    chosen, _ = tracked(sources, lambda read: read(read("which")))
    seen = []
    chosen.observe(lambda _: seen.append(set(sources.open)))
    sources.set("which", "b")
    assert seen == [{"which", "a", "b"}]


def test_what_the_last_settled_value_stands_on_stays_open_while_there_is_no_other():
    sources = Sources(which="a", a=1, b=None, c=3)
    chosen, _ = tracked(sources, lambda read: read(read("which")), settled=lambda value: value is not None)
    sources.set("which", "b")
    assert chosen.value is None
    assert sources.open.keys() == {"which", "a", "b"}
    sources.set("which", "c")
    assert sources.open.keys() == {"which", "c"}


def test_an_equal_value_is_not_told():
    sources = Sources(a=1)
    sign, _ = tracked(sources, lambda read: read("a") > 0)
    told = []
    sign.observe(told.append)
    sources.set("a", 2)
    assert told == []


def test_a_change_while_computing_is_computed_once_more_and_not_inside():
    sources = Sources(a=1)
    depth = computations = 0

    def compute(read):
        nonlocal depth, computations
        depth += 1
        computations += 1
        assert depth == 1, "computing inside computing"
        value = read("a")
        if value == 5:
            sources.set("a", 6)
        depth -= 1
        return value

    found, _ = tracked(sources, compute)
    told = []
    found.observe(told.append)
    sources.set("a", 5)
    assert (found.value, told, computations) == (6, [6], 3)


def test_a_change_brought_about_by_an_observer_is_told_after_it_to_all():
    sources = Sources(a=1)
    found, _ = tracked(sources, lambda read: read("a"))
    told = []
    found.observe(lambda value: sources.set("a", 3) if value == 2 else None)
    found.observe(told.append)
    sources.set("a", 2)
    assert (found.value, told) == (3, [2, 3])


def test_changes_that_bring_about_the_next_for_ever_are_let_rest():
    sources = Sources(a=0)
    computations = 0

    def compute(read):
        nonlocal computations
        computations += 1
        value = read("a")
        sources.set("a", value + 1)
        return value

    found, _ = tracked(sources, compute)
    assert computations <= MAX_ROUNDS
    found.close()


def test_closing_closes_all_and_ends_the_telling():
    sources = Sources(a=1, b=2)
    found, closed = tracked(sources, lambda read: read("a") + read("b"))
    told = []
    found.observe(told.append)
    found.close()
    found.close()
    found.changed()
    assert (sources.open, told, closed) == ({}, [], [found])


def test_an_observer_may_close_it_while_it_is_told():
    sources = Sources(which="a", a=1, b=2)
    found, _ = tracked(sources, lambda read: read(read("which")))
    found.observe(lambda _: found.close())
    sources.set("which", "b")
    assert sources.open == {}


def test_a_source_may_close_it_while_it_computes():
    sources = Sources(a=1, b=2)

    def compute(read):
        if read("a") == 2:
            found.close()
        return read("b")

    found, _ = tracked(sources, compute)
    sources.set("a", 2)
    assert sources.open == {}


def test_a_computation_that_raises_at_first_leaves_nothing_open():
    sources = Sources(a=1)

    def compute(read):
        raise RuntimeError(str(read("a")))

    with pytest.raises(RuntimeError, match="1"):
        tracked(sources, compute)
    assert sources.open == {}


def test_a_computation_that_raises_later_can_be_done_again():
    sources = Sources(a=1)
    found, _ = tracked(sources, lambda read: 10 // read("a"))
    with pytest.raises(ZeroDivisionError):
        sources.set("a", 0)
    sources.set("a", 5)
    assert found.value == 2

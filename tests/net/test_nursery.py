"""Who lasts is told, once; who does not is never heard of again."""

from linkerd_tcp.net.nursery import GROWN_SECS, Nursery


class Timer:
    def __init__(self, loop: "Loop") -> None:
        self.loop = loop

    def start(self, call: object) -> None:
        self.loop.due = call

    def close(self) -> None:
        self.loop.due = None


class Loop:
    """Says only that it is time."""

    due: object = None

    def timer(self, secs: float, ref: bool) -> Timer:
        self.secs = secs
        return Timer(self)

    def turn(self) -> None:
        assert callable(self.due)
        self.due()


class Child:
    def __init__(self) -> None:
        self.told = 0

    def grown(self) -> None:
        self.told += 1


def test_a_child_is_told_once_in_its_second_second() -> None:
    loop, child = Loop(), Child()
    nursery = Nursery(loop)
    nursery.add(child)
    assert loop.secs == GROWN_SECS
    loop.turn()
    assert child.told == 0, "it may have come a moment ago"
    loop.turn()
    assert child.told == 1
    assert len(nursery) == 0
    assert loop.due is None, "nothing wakes an idle process"


def test_one_that_leaves_is_never_told_whatever_its_age() -> None:
    loop, young, older = Loop(), Child(), Child()
    nursery = Nursery(loop)
    nursery.add(older)
    loop.turn()
    nursery.add(young)
    nursery.remove(older)
    nursery.remove(young)
    nursery.remove(young)
    while loop.due is not None:
        loop.turn()
    assert (young.told, older.told) == (0, 0)


def test_thousands_that_came_together_are_told_in_slices() -> None:
    loop = Loop()
    nursery = Nursery(loop)
    children = [Child() for _ in range(1_000)]
    for child in children:
        nursery.add(child)
    loop.turn()
    told = []
    while len(nursery):
        loop.turn()
        told.append(sum(child.told for child in children))
    assert told == [200, 400, 600, 800, 1_000]


def test_one_that_ends_another_when_it_is_told_does_not_see_it_told() -> None:
    loop, other = Loop(), Child()
    nursery = Nursery(loop)

    class Ending(Child):
        def grown(self) -> None:
            super().grown()
            nursery.remove(other)

    first = Ending()
    nursery.add(first)
    nursery.add(other)
    loop.turn()
    loop.turn()
    assert (first.told, other.told) == (1, 0)

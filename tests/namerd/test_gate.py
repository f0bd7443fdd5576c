from time import perf_counter

import gevent
import pytest

from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.testing.leaks import no_leaks

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


def work(secs: float) -> None:
    until = perf_counter() + secs
    while perf_counter() < until:
        pass


def test_work_that_comes_all_at_once_leaves_the_loop_its_turns() -> None:
    gate = Gate(0.002)
    turns = 0
    done: list[int] = []

    def piece(number: int) -> None:
        gate.enter()
        work(0.001)
        done.append(number)

    pieces = [gevent.spawn(piece, number) for number in range(100)]
    while len(done) < 100:
        gevent.sleep(0.0001)  # a timer, as a connection's would be
        turns += 1
    assert done == list(range(100))
    assert turns >= 10
    gevent.joinall(pieces)


def test_a_piece_alone_waits_for_nothing() -> None:
    gate = Gate()
    other = gevent.spawn(lambda: None)
    gate.enter()
    assert not other.dead
    other.join()


def test_who_is_killed_while_it_waits_lets_the_next_through() -> None:
    gate = Gate(0.0)
    passed: list[int] = []

    def piece(number: int) -> None:
        gate.enter()
        passed.append(number)

    pieces = [gevent.spawn(piece, number) for number in range(5)]
    gevent.sleep(0)
    for each in pieces[1:4]:
        each.kill(block=False)
    gevent.joinall(pieces, timeout=2)
    assert passed == [0, 4]

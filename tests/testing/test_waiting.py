import gevent
import pytest

from linkerd_tcp.testing import eventually


def test_what_comes_in_time_is_waited_for_while_others_run() -> None:
    done: list[int] = []
    task = gevent.spawn_later(0.02, done.append, 1)
    eventually(lambda: done)
    task.join()


def test_what_does_not_come_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"not so within 0\.01 s"):
        eventually(lambda: False, 0.01)


def test_without_time_it_has_to_be_so_already() -> None:
    eventually(lambda: True, 0)
    looks: list[int] = []
    with pytest.raises(AssertionError):
        eventually(lambda: looks.append(1), 0)
    assert looks == [1]

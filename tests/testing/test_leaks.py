import os
import socket

import gevent
import pytest

from tests.leaks import no_leaks, nothing_left

assert no_leaks


def test_what_was_given_back_is_no_leak(no_leaks: None) -> None:
    one, other = socket.socketpair()
    reader = gevent.spawn(one.recv, 1)
    gevent.sleep(0.01)
    reader.kill()
    one.close()
    other.close()


def test_what_is_on_its_way_out_gets_time() -> None:
    with nothing_left():
        gevent.spawn(gevent.sleep, 0.05)


def test_an_open_descriptor_is_a_leak() -> None:
    with pytest.raises(AssertionError, match="descriptors"), nothing_left(0.05):
        fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)


def test_a_living_greenlet_is_a_leak() -> None:
    with pytest.raises(AssertionError, match="greenlets"), nothing_left(0.05):
        left = gevent.spawn(gevent.sleep, 100)
    left.kill()


def test_a_watcher_of_the_loop_is_a_leak() -> None:
    timer = gevent.get_hub().loop.timer(100)
    with pytest.raises(AssertionError, match="watchers"), nothing_left(0.05):
        timer.start(lambda: None)
    timer.stop()
    timer.close()

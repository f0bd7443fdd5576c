"""The descriptor limit, raised, and how many connections it allows."""

import resource

from linkerd_tcp.net.descriptors import Capacity, OwnDescriptors, raise_limit


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        assert raise_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_some_descriptors_are_kept_back_whatever_the_limit() -> None:
    assert Capacity(20_000).most == (20_000 - 320) // 2
    assert Capacity(100).most == (100 - 25) // 2
    assert Capacity(2).most == 1


def test_who_waits_for_room_is_called_once_when_there_is_some() -> None:
    capacity, called = Capacity(8), []
    for _ in range(capacity.most):
        capacity.take()
    assert capacity.full
    capacity.when_free(lambda: called.append("once"))
    capacity.give_back()
    capacity.give_back()
    assert called == ["once"]
    assert not capacity.full


def test_connections_to_the_process_itself_take_room_two_in_the_place_of_one() -> None:
    capacity = Capacity(40)
    own = OwnDescriptors(capacity)
    taken = 0
    while own.take():
        taken += 1
    assert taken == OwnDescriptors.FREE + 2 * capacity.most
    assert capacity.full
    own.give_back()
    assert own.take()
    assert not own.take()
    for _ in range(taken):
        own.give_back()
    assert capacity.used == 0
    assert own.take()

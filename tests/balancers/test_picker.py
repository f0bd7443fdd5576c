from random import Random

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.balancers.p2c import P2c
from linkerd_tcp.balancers.picker import pick_untried
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.record import Record


class Stubborn:
    """Always the first."""

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints

    def pick(self, record: Record | None) -> Endpoint | None:
        return self.endpoints[0] if self.endpoints else None


def endpoints_of(*loads: int) -> list[Endpoint]:
    endpoints = [Endpoint(Address("10.0.0.1", 1 + index)) for index in range(len(loads))]
    for endpoint, load in zip(endpoints, loads, strict=True):
        endpoint.load = load
    return endpoints


def test_none_of_those_tried_is_picked_again_while_another_is_left() -> None:
    endpoints = endpoints_of(0, 5, 9, 2)
    picker = P2c(Random(1))
    picker.rebuild(endpoints)
    tried: list[Endpoint] = []
    for _ in endpoints:
        endpoint = pick_untried(picker, endpoints, tried, None)
        assert endpoint is not None
        tried.append(endpoint)
    assert set(tried) == set(endpoints)
    assert pick_untried(picker, endpoints, tried, None) is None


def test_a_picker_that_insists_is_overruled_by_the_least_loaded() -> None:
    endpoints = endpoints_of(0, 5, 2, 9)
    endpoints[1].weight = 100.0
    picker = Stubborn()
    picker.rebuild(endpoints)
    assert pick_untried(picker, endpoints, endpoints[:1], None) is endpoints[1]


def test_nobody_is_none() -> None:
    picker = Stubborn()
    picker.rebuild([])
    assert pick_untried(picker, [], [], None) is None

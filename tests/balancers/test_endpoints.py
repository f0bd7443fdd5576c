import pytest

from linkerd_tcp.balancers.endpoints import Endpoint, EndpointSet, State
from linkerd_tcp.naming.addr import Address

A, B, C = (Address("10.0.0.1", port) for port in (1, 2, 3))


def set_of(*addresses: Address) -> EndpointSet:
    endpoints = EndpointSet()
    endpoints.update(addresses)
    return endpoints


def get(endpoints: EndpointSet, address: Address) -> Endpoint:
    return next(endpoint for endpoint in endpoints if endpoint.text == str(address))


def with_open(endpoints: EndpointSet, address: Address, count: int = 1) -> Endpoint:
    endpoint = get(endpoints, address)
    endpoint.load += count
    endpoint.open += count
    return endpoint


def test_discovery_adds_and_removes() -> None:
    endpoints = set_of(A, B)
    removed = endpoints.update([B, C])
    assert [str(endpoint.address) for endpoint in removed] == ["10.0.0.1:1"]
    assert removed[0].state is State.GONE
    assert {endpoint.text for endpoint in endpoints} == {"10.0.0.1:2", "10.0.0.1:3"}


def test_a_removed_endpoint_is_retired_until_its_connections_have_ended() -> None:
    endpoints = set_of(A)
    endpoint = with_open(endpoints, A, 2)
    endpoints.update([])
    assert (endpoint.state, list(endpoints.retired.values()), endpoints.candidates()) == (State.RETIRED, [endpoint], [])
    endpoints.release(endpoint)
    assert list(endpoints) == [endpoint]
    endpoints.release(endpoint)
    assert (endpoint.state, list(endpoints), endpoint.load) == (State.GONE, [], 0)


def test_a_retired_endpoint_that_comes_back_is_available_with_its_counts() -> None:
    endpoints = set_of(A)
    endpoint = with_open(endpoints, A)
    endpoint.connects = 17
    endpoints.update([])
    assert endpoints.update([Address("10.0.0.1", 1, 2.0)]) == []
    assert get(endpoints, A) is endpoint
    assert (endpoint.state, endpoint.connects, endpoint.open, endpoint.weight) == (State.AVAILABLE, 17, 1, 2.0)
    assert not endpoints.retired


def test_a_retired_endpoint_is_not_removed_twice() -> None:
    endpoints = set_of(A, B)
    with_open(endpoints, A)
    assert len(endpoints.update([B])) == 1
    assert endpoints.update([B]) == []


def test_a_weight_change_keeps_connections_and_state() -> None:
    endpoints = set_of(A, B)
    available, failed = with_open(endpoints, A), with_open(endpoints, B)
    endpoints.fail(failed)
    endpoints.update([Address("10.0.0.1", 1, 0.5), Address("10.0.0.1", 2, 0.25, {"zone": "a"})])
    assert (available.weight, available.open, available.state) == (0.5, 1, State.AVAILABLE)
    assert (failed.weight, failed.open, failed.state) == (0.25, 1, State.FAILED)
    assert failed.address.meta == {"zone": "a"}


def test_weight_0_gets_no_new_connections_and_keeps_its_old_ones() -> None:
    endpoints = set_of(A, B)
    endpoint = with_open(endpoints, A)
    endpoints.update([Address("10.0.0.1", 1, 0.0), B])
    assert endpoints.candidates() == [get(endpoints, B)]
    assert (endpoint.open, endpoint.state) == (1, State.AVAILABLE)


def test_when_every_endpoint_with_weight_has_failed_the_failed_ones_are_candidates() -> None:
    endpoints = set_of(A, Address("10.0.0.1", 2, 0.0), C)
    endpoints.fail(get(endpoints, A))
    assert endpoints.candidates() == [get(endpoints, C)]
    endpoints.fail(get(endpoints, C))
    assert endpoints.candidates() == [get(endpoints, A), get(endpoints, C)]
    endpoints.revive(get(endpoints, C))
    assert endpoints.candidates() == [get(endpoints, C)]


def test_all_weights_0_leaves_no_candidate() -> None:
    endpoints = set_of(Address("10.0.0.1", 1, 0.0), Address("10.0.0.1", 2, 0.0))
    endpoints.fail(get(endpoints, A))
    assert endpoints.candidates() == []


def test_removed_while_failed_is_gone_and_comes_back_new() -> None:
    endpoints = set_of(A)
    endpoint = get(endpoints, A)
    endpoint.consecutive_failures = 9
    endpoints.fail(endpoint)
    endpoints.update([])
    assert (endpoint.state, list(endpoints)) == (State.GONE, [])
    endpoints.update([A])
    assert get(endpoints, A) is not endpoint
    assert get(endpoints, A).consecutive_failures == 0


def test_drained_is_as_weight_0_until_undone() -> None:
    endpoints = set_of(A, B)
    (drained,) = endpoints.drain("10.0.0.1:1")
    assert endpoints.candidates() == [get(endpoints, B)]
    assert drained.as_json(0.0)["drained"] is True
    assert endpoints.undrain("10.0.0.1:1") == [drained]
    assert len(endpoints.candidates()) == 2


def test_drained_stays_drained_through_updates_and_re_adding() -> None:
    endpoints = set_of(A, B)
    endpoints.drain("10.0.0.1:1")
    endpoints.update([Address("10.0.0.1", 1, 5.0), B])
    assert get(endpoints, A).drained
    endpoints.update([B])
    endpoints.update([A, B])
    assert get(endpoints, A).drained


def test_draining_an_unknown_address_does_nothing() -> None:
    endpoints = set_of(A)
    assert endpoints.drain("10.0.0.1:9") == []
    endpoints.update([A, Address("10.0.0.1", 9)])
    assert not any(endpoint.drained for endpoint in endpoints)


def test_an_address_that_is_no_ip_changes_nothing() -> None:
    endpoints = set_of(A)
    with pytest.raises(ValueError, match="nowhere"):
        endpoints.update([B, Address("nowhere", 1)])
    assert [endpoint.text for endpoint in endpoints] == ["10.0.0.1:1"]


def test_pending_is_load_less_open() -> None:
    endpoint = Endpoint(A)
    endpoint.load, endpoint.open = 5, 3
    assert endpoint.pending == 2


def test_an_endpoint_is_shown_as_the_interface_says() -> None:
    endpoint = Endpoint(Address("::1", 80, 0.5))
    endpoint.load, endpoint.open, endpoint.connects, endpoint.failures = 3, 2, 17, 1
    assert endpoint.as_json(0.0) == {
        "address": "[::1]:80",
        "state": "available",
        "weight": 0.5,
        "open": 2,
        "pending": 1,
        "consecutiveFailures": 0,
        "connects": 17,
        "failures": 1,
        "lastError": None,
        "failedSince": None,
        "drained": False,
        "lastErrorAt": None,
        "nextTryAt": None,
        "probing": False,
        "ejections": 0,
    }


@pytest.mark.parametrize(
    ("change", "next_try_at"),
    [({}, 1_060.0), ({"probing": True}, None), ({"drained": True}, None), ({"weight": 0.0}, None)],
)
def test_a_failed_endpoint_says_when_it_is_tried_again_if_it_is_at_all(
    change: dict[str, object], next_try_at: float | None
) -> None:
    endpoints = set_of(A)
    endpoint = get(endpoints, A)
    assert endpoint.as_json(1_000.0)["nextTryAt"] is None
    endpoints.fail(endpoint)
    endpoints.penalise(endpoint, 60.0)
    for name, value in change.items():
        setattr(endpoint, name, value)
    assert endpoint.as_json(1_000.0)["nextTryAt"] == next_try_at
    endpoints.revive(endpoint)
    assert endpoint.as_json(1_000.0)["nextTryAt"] is None


def test_an_endpoint_keeps_the_place_where_discovery_lists_it_whatever_set_it_is_in() -> None:
    endpoints = set_of(A, B, C)
    endpoints.fail(get(endpoints, A))
    assert [get(endpoints, each).place for each in (A, B, C)] == [0, 1, 2]
    endpoints.update([C, A])
    assert [get(endpoints, each).place for each in (C, A)] == [0, 1]


def test_the_bytes_of_endpoints_that_are_gone_are_kept_in_sum() -> None:
    endpoints = set_of(A, B)
    for address in (A, B):
        get(endpoints, address).rx_bytes, get(endpoints, address).tx_bytes = 5, 7
    kept = with_open(endpoints, B)
    endpoints.update([])
    assert endpoints.gone_bytes == (5, 7)
    kept.rx_bytes += 1
    endpoints.release(kept)
    assert endpoints.gone_bytes == (11, 14)

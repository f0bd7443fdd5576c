from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel

from linkerd_tcp import registry
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.config.model import Model
from linkerd_tcp.errors import ConfigError


class Offered(Model):
    """A balancer of another package."""

    kind: str
    size: int = 3


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """What installed packages offer."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in found if point.group == group])
    registry._offered.cache_clear()
    yield found
    registry._offered.cache_clear()


def offer(kind: str, place: str) -> EntryPoint:
    return EntryPoint(kind, place, "linkerd_tcp.balancer")


@pytest.mark.parametrize(
    ("role", "kind"),
    [(role, kind) for role, table in registry.BUILT_IN.items() if role != "utilities" for kind in table],
)
def test_every_built_in_kind_is_a_model_that_can_be_built(role: str, kind: str) -> None:
    model = registry.load(role, kind)
    assert issubclass(model, BaseModel)
    assert callable(model.build)  # type: ignore[attr-defined]


def test_utilities_are_there() -> None:
    assert isinstance(registry.load("utilities", "/$/"), type)


def test_an_unknown_kind_names_those_that_are_known_or_to_come() -> None:
    with pytest.raises(registry.UnknownKind) as raised:
        registry.load("balancer", "p2x")
    assert raised.value.known == ["ewma", "leastLoaded", "p2c", "roundRobin", "sourceHash"]


def test_a_package_can_offer_a_kind(offers: list[EntryPoint]) -> None:
    offers.append(offer("mine", f"{__name__}:Offered"))
    assert registry.load("balancer", "mine") is Offered
    router = "{label: a, servers: [{port: 1, dstName: /a}], client: {loadBalancer: {kind: mine, size: 4}}}"
    config = parse_config(f"routers: [{router}]", "f", Path())
    assert config.routers[0].client.load_balancer == Offered(kind="mine", size=4)


def test_two_packages_with_one_kind_are_a_conflict(offers: list[EntryPoint]) -> None:
    offers.append(offer("p2c", "other.place:P2c"))
    with pytest.raises(registry.ConflictingKinds, match=r"'p2c' is offered by linkerd_tcp\S+ and other\.place:P2c"):
        registry.load("balancer", "p2c")


def test_the_same_offer_twice_is_none(offers: list[EntryPoint]) -> None:
    offers.extend([offer("mine", f"{__name__}:Offered")] * 2)
    assert registry.load("balancer", "mine") is Offered


@pytest.mark.parametrize("place", ["no.such.module:X", f"{__name__}:NoSuch", f"{__name__}:offer"])
def test_a_kind_that_cannot_be_loaded_is_a_configuration_error(offers: list[EntryPoint], place: str) -> None:
    offers.append(offer("broken", place))
    router = "{label: a, servers: [{port: 1, dstName: /a}], client: {loadBalancer: {kind: broken}}}"
    with pytest.raises(ConfigError) as raised:
        parse_config(f"routers: [{router}]", "f", Path())
    assert 'balancer kind "broken" cannot be used' in raised.value.problems[0]

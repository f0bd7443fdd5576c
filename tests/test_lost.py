"""Paths that led nowhere are remembered for a while, and no more of them than there is room for."""

from linkerd_tcp.lost import LOST_KEPT, LOST_SECS, LostPaths
from linkerd_tcp.naming.nametree import FAIL, NEG
from linkerd_tcp.naming.path import Path

WEB, API = Path.read("/svc/web"), Path.read("/svc/api")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_path_is_lost_until_nobody_has_asked_for_it_for_a_minute() -> None:
    clock = Clock()
    lost = LostPaths(clock)
    lost.note(WEB, NEG)
    clock.now += LOST_SECS
    assert lost.recent() == {WEB: NEG}
    clock.now += 0.1
    assert lost.recent() == {}


def test_asked_for_again_it_stays_longer_with_its_latest_binding_and_in_its_place() -> None:
    clock = Clock()
    lost = LostPaths(clock)
    lost.note(WEB, NEG)
    lost.note(API, NEG)
    clock.now += LOST_SECS
    lost.note(WEB, FAIL)
    assert list(lost.recent().items()) == [(WEB, FAIL), (API, NEG)]
    clock.now += LOST_SECS
    assert list(lost.recent()) == [WEB]


def test_a_path_that_leads_somewhere_again_is_not_lost() -> None:
    lost = LostPaths()
    lost.found(WEB)
    lost.note(WEB, NEG)
    lost.found(WEB)
    assert lost.recent() == {}


def test_a_flood_of_names_takes_no_more_room_than_there_is() -> None:
    lost = LostPaths()
    for number in range(3 * LOST_KEPT):
        lost.note(Path(("svc", str(number))), NEG)
    assert len(lost.recent()) == LOST_KEPT

"""Children that are greenlets: they say and answer what a test wants, over real channels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from linkerd_tcp.workers.channel import ChildEnd, Frame, Line, Message, pair
from linkerd_tcp.workers.children import ADMIN, Child
from linkerd_tcp.workers.keeper import Keeper

Answer = Callable[[Frame], Message | None]


class FakeChild(Child):
    """`answers` by what is asked: a message, or None to keep silent. What it was told is in `heard`."""

    def __init__(self, place: int, pid: int, answers: dict[str, Answer]) -> None:
        ours, theirs = pair()
        super().__init__(place, pid, Line(ours))
        self.answers_by = answers
        self.heard: list[str] = []
        self.sockets: list[Any] = []
        self.end = ChildEnd(theirs)
        self._dead: int | None = None
        self._life = gevent.spawn(self._live)

    def _live(self) -> None:
        try:
            while True:
                frame = self.end.receive()
                what = frame.message["do"]
                self.heard.append(what)
                self.sockets += frame.sockets
                answer = self.answers_by.get(what, lambda _: {})(frame)
                if answer is not None and "token" in frame.message:
                    self.end.send({"token": frame.message["token"], **answer})
        except EOFError:
            return

    def say(self, what: str) -> None:
        self.end.send({"say": what})

    def die(self, status: int = 9) -> None:
        """As by a signal."""
        self._dead = status
        self.end.close()

    def kill(self) -> None:
        self.unwanted = True
        self.die()

    def reap(self) -> bool:
        if self.gone or self._dead is None:
            return False
        self.status, self.state = self._dead, "gone"
        return True

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        self.line.close()
        self.end.close()
        self._life.kill()


class FakePump:
    """Lets the greenlets run."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def wait(self, lines: list[Line], secs: float) -> list[int]:
        gevent.sleep(min(max(secs, 0), 0.002))
        for line in lines:
            line.flush()
            line.receive()
        signals, self.signals = self.signals, []
        return signals


class Fakes:
    """Two workers and an admin process that serve, and who keeps them."""

    def __init__(self) -> None:
        self.made: list[FakeChild] = []
        self.signalled: list[int] = []
        self.pump = FakePump()
        places = [0, 1, ADMIN]
        self.keeper = Keeper(places, self.pump, self._fork, self.signalled.append, lambda: None)  # type: ignore[arg-type]
        for place in places:
            self.keeper.fill(place)
        self.keeper.replacing = True
        self.start(*self.made)

    def _fork(self, place: int) -> FakeChild:
        self.made.append(FakeChild(place, 100 + len(self.made), {"prepare": lambda _: {"changes": ["x changed"]}}))
        return self.made[-1]

    def start(self, *children: FakeChild) -> None:
        """These serve now."""
        for child in children:
            child.say("prepared")
            child.say("serving")
        self.until(lambda: all(child.state == "serving" for child in children))

    def until(self, condition: Callable[[], Any]) -> None:
        with gevent.Timeout(5, AssertionError("it did not come to that within 5 s")):
            while not condition():
                self.keeper.turn(0.002)
                if self.keeper.replacing:
                    self.keeper.replace()

    @property
    def workers(self) -> list[FakeChild]:
        """Those first made."""
        return self.made[:2]

    @property
    def admin(self) -> FakeChild:
        return self.made[2]


@contextmanager
def fakes() -> Iterator[Fakes]:
    made = Fakes()
    try:
        yield made
    finally:
        for child in made.made:
            child.close()

"""A value that changes, and those who are told of it.

Discovery is pushed: whoever holds a `Watch` is called at the moment its value changes, with or without
traffic. Nothing here blocks, sleeps or knows of greenlets; a callback runs in whatever calls `Var.set`.
"""

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
V = TypeVar("V")
T_co = TypeVar("T_co", covariant=True)


class Watch(Protocol[T_co]):
    """A live value owned by its holder, who must `close` it once.

    `value` is always there at once (Pending counts as a value). `observe` does not call back for the
    value that is current when it is called. After `close` no callback comes any more.
    """

    @property
    def value(self) -> T_co: ...

    def observe(self, callback: Callable[[T_co], None]) -> Callable[[], None]:
        """Call `callback` with each new value; the returned function ends that (twice is harmless)."""

    def close(self) -> None:
        """End the watch; what feeds it may be released. Closing twice is harmless."""


class Read(Protocol):
    """Given to a computation: the value of the watch known by `key`, opened if it is not open yet. When that value
    changes, the computation is made again.
    """

    def __call__(self, key: Hashable, open_watch: Callable[[], Watch[V]]) -> V: ...


class Var(Generic[T]):
    """The one concrete `Watch`: its source calls `set`, its holder reads and observes.

    `on_close` runs once, when the holder closes it. Equal consecutive values are told once only.
    """

    __slots__ = ("_observers", "_on_close", "_value", "closed")

    def __init__(self, value: T, on_close: Callable[[], None] | None = None) -> None:
        self._value = value
        self._observers: list[Callable[[T], None]] = []
        self._on_close = on_close
        self.closed = False

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> None:
        """Tell every observer of `value`, unless it equals the last one or the watch is closed."""
        if value != self._value:
            self.tell(value)

    def tell(self, value: T) -> None:
        """As `set`, though `value` may equal the last: equal bound names can lead to other live addresses."""
        if self.closed:
            return
        self._value = value
        # A copy: an observer may end its own observation, or begin another, while it is being told.
        for callback in tuple(self._observers):
            if self._value is not value:
                return  # an observer set a newer value meanwhile, and everybody has been told that one
            if callback in self._observers:
                callback(value)

    def observe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        self._observers.append(callback)

        def cancel() -> None:
            if callback in self._observers:
                self._observers.remove(callback)

        return cancel

    @property
    def observed(self) -> bool:
        """Whether anybody is being told."""
        return bool(self._observers)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._observers.clear()
        if self._on_close is not None:
            self._on_close()

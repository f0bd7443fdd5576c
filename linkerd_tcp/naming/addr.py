"""Where a name leads: a set of addresses, or the reason why there is none.

Finagle's `Addr`, which has these four states and no other. `Pending` and `Failed` are also the states of a
name tree that is not known yet (`naming.name`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Address:
    """One place to connect to: an IP literal and a port.

    `weight` is relative to the other addresses of the same name and 0 means no new connections;
    `meta` is free-form (`{"zone": "a"}`), shown to people and never interpreted here.
    """

    ip: str
    port: int
    weight: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A known set of addresses, in the order they were listed, perhaps none; no address twice."""

    addresses: tuple[Address, ...]
    meta: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)


@dataclass(frozen=True, slots=True)
class Neg:
    """Definitely nothing of this name."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Not known yet."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Cannot be known now; `cause` says why, for people."""

    cause: str


Addr: TypeAlias = Bound | Neg | Pending | Failed

NEG: Final = Neg()
PENDING: Final = Pending()

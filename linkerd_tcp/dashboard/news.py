"""What has come up or gone since a moment ago, in one line to be read out: seldom enough to be listened to."""

from collections.abc import Sequence
from typing import Final

from linkerd_tcp.dashboard.trouble import Item

QUIET_SECS: Final = 5.0
"""Between two lines."""


class News:
    """`line` is the last one."""

    def __init__(self) -> None:
        self._known: dict[str, str] | None = None
        self._changes: dict[str, str] = {}
        self._said_at = float("-inf")
        self.line = ""

    def hear(self, items: Sequence[Item], now: float) -> None:
        """What needs attention `now`, on a clock that nobody sets. The first time nothing is new."""
        current = {item.row["key"]: item.said for item in items}
        known, self._known = self._known, current
        if known is None:
            return
        self._change({key: said for key, said in current.items() if key not in known})
        self._change({key: f"over: {said}" for key, said in known.items() if key not in current})
        if self._changes and now >= self._said_at + QUIET_SECS:
            said = list(self._changes.values())
            self._changes = {}
            self.line = said[0] if len(said) == 1 else f"{said[0]}, and {len(said) - 1} more"
            self._said_at = now

    def _change(self, changes: dict[str, str]) -> None:
        """What was not said yet and is undone meanwhile need not be said."""
        for key, said in changes.items():
            if self._changes.pop(key, None) is None:
                self._changes[key] = said

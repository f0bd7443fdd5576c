"""Moving bytes both ways between two connected sockets until both sides are done.

The connection's greenlet is parked in `Duplex.run`; while bytes stream, each direction moves them by itself
(`half_duplex`) and tells only how it ended.

How it ends:

* FIN from one side is passed on once everything before it has been; the other direction goes on. FIN from both is
  the normal end, and the cause says who was first.
* A reset ends both: what had arrived before it is still delivered, then the other side is reset too, because a FIN
  would make a truncated stream look complete. A side that had said FIN already has all it will get, so it is not reset.
* A limit (idle, half-close, lifetime) or `abort` from outside.
"""

import errno
import ssl
import struct
from _socket import SO_LINGER, SOL_SOCKET
from _socket import socket as Socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, TypeAlias

import greenlet
from gevent.hub import get_hub

from linkerd_tcp.errors import Cause
from linkerd_tcp.net.half_duplex import Buffer, HalfDuplex
from linkerd_tcp.net.last_words import LastWords
from linkerd_tcp.net.nursery import GROWN_SECS, nursery
from linkerd_tcp.net.options import SetSockOpt
from linkerd_tcp.net.queues import unread_bytes, unsent_bytes
from linkerd_tcp.net.secure_half import SecureHalfDuplex
from linkerd_tcp.net.tls import TlsEnd

QUIET_SECS: Final = 0.05
"""How long nothing must have moved before a connection may be ended at a quiet moment."""

PARTING_SECS: Final = 1.0
"""How long after our FINs both sides have to answer with theirs, before the sockets are closed regardless."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_AFTER_FIN: Final = frozenset({errno.EPIPE, errno.ENOTCONN})
"""What writing to a side that is gone says when it may have said FIN before; reading will tell whether it had."""


LateOptions: TypeAlias = tuple[Sequence[SetSockOpt], Sequence[SetSockOpt]]

Side: TypeAlias = Socket | TlsEnd
"""A connected, non-blocking socket, or one that speaks TLS."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A stream's limits in seconds; None is never. `lifetime` is this stream's own, jitter already drawn."""

    idle_secs: float | None = None
    half_close_secs: float | None = None
    lifetime_secs: float | None = None
    lifetime_grace_secs: float = 30.0

    spare_the_young: bool = field(init=False)
    """None of them can be reached while the stream is in the nursery."""

    def __post_init__(self) -> None:
        given = (secs for secs in (self.idle_secs, self.half_close_secs, self.lifetime_secs) if secs is not None)
        object.__setattr__(self, "spare_the_young", min(given, default=inf) > 2 * GROWN_SECS)


class Duplex:
    """Both directions of one connection; see the module. `run` it once, in the greenlet that owns it.

    `late_options`, for `src` and for `dst`, are set once the stream has lasted a second: only an idle one has any use
    for them. `short`: it is expected to end behind the first words of `dst`.
    """

    __slots__ = (
        "_cut_at",
        "_dst",
        "_expired",
        "_greenlet",
        "_hub",
        "_late_options",
        "_limits",
        "_loop",
        "_nursery",
        "_parting",
        "_src",
        "_timer",
        "_young",
        "cause",
        "detail",
        "ends_at",
        "to_dst",
        "to_src",
    )

    def __init__(
        self,
        src: Side,
        dst: Side,
        buffer: Buffer,
        limits: Limits,
        late_options: LateOptions = ((), ()),
        short: bool = False,
    ) -> None:
        self._hub = get_hub()
        self._loop = loop = self._hub.loop
        self._src = src
        self._dst = dst
        self._limits = limits
        self._late_options = late_options
        self.to_dst: HalfDuplex
        self.to_src: HalfDuplex
        if isinstance(src, Socket) and isinstance(dst, Socket):
            self.to_dst = HalfDuplex(self, loop, src, dst, buffer)
            self.to_src = (LastWords if short else HalfDuplex)(self, loop, dst, src, buffer)
        else:
            self.to_dst = SecureHalfDuplex(self, loop, src, dst, buffer)
            self.to_src = SecureHalfDuplex(self, loop, dst, src, buffer)
        self.cause: Cause | None = None
        """Why it ends; set at the first FIN, error or limit."""
        self.detail: str | None = None
        self.ends_at: float | None = None
        """When it is due to be ended at a quiet moment (loop time, seconds): its lifetime, or a shutdown."""
        self._cut_at = inf
        self._expired = Cause.LIFETIME
        self._parting = False
        self._nursery = nursery()
        self._young = False
        """It has no timer yet, and none of its limits is near."""
        self._timer: Any = None
        self._greenlet: greenlet.greenlet | None = None

    @property
    def rx_bytes(self) -> int:
        return self.to_dst.bytes

    @property
    def tx_bytes(self) -> int:
        return self.to_src.bytes

    def run(self) -> Cause:
        """Move bytes until it ends; the cause. The sockets are still open then, and their owner closes them."""
        now = self._loop.now()
        self.to_dst.last_at = self.to_src.last_at = now
        if self._limits.lifetime_secs is not None:
            self.ends_at = now + self._limits.lifetime_secs
            self._cut_at = self.ends_at + self._limits.lifetime_grace_secs
        self._greenlet = greenlet.getcurrent()
        try:
            self.to_src.start()
            self.to_dst.start()
            self._grow_up()
            # Only _finish wakes this greenlet, once: it forgets the greenlet before it switches.
            self._hub.switch()
        finally:
            self._greenlet = None
            if self._young:
                self._nursery.remove(self)
            self.to_dst.stop()
            self.to_src.stop()
            if self._timer is not None:
                self._timer.close()
        assert self.cause is not None
        return self.cause

    # What the halves report, and ask.

    def passes_end_on(self, half: HalfDuplex) -> bool:
        """See `Owner`. Not when the other direction has ended: its sink may be gone, and a reset follow."""
        return not (self.to_src if half is self.to_dst else self.to_dst).ended

    def source_ended(self, half: HalfDuplex) -> None:
        """`half` read FIN, after everything before it was written."""
        other = self.to_src if half is self.to_dst else self.to_dst
        if self.cause is None:
            self.cause = Cause.CLIENT_CLOSED if half is self.to_dst else Cause.ENDPOINT_CLOSED
        if other.ended:
            self._finish()
            return
        try:
            half.pass_end_on()
        except OSError as error:
            self.sink_failed(half, error)
            return
        self._arm(self._loop.now())

    def source_failed(self, half: HalfDuplex, error: OSError) -> None:
        """`half`'s source is gone: reset, or dead. Its sink is told by a reset, unless it had FIN before."""
        self._fail(_cause_of(error), f"{'client' if half is self.to_dst else 'endpoint'}: {error.strerror}")
        if not half.ended:
            _reset_when_closed(self._dst if half is self.to_dst else self._src)
        self._finish()

    def sink_failed(self, half: HalfDuplex, error: OSError) -> None:
        """`half`'s sink takes no more. What it sent before that is delivered first: then its own half ends this,

        with FIN if the sink had finished speaking (a server that replies and closes without reading on), else by reset.
        """
        other = self.to_src if half is self.to_dst else self.to_dst
        if other.ended:
            # It had said all it wanted and then went: an end, not a loss, for the side that listened.
            self.cause = self.cause or _cause_of(error)
            self._finish()
            return
        if self.cause is None:
            self.cause = _cause_of(error)
            self.detail = f"{'endpoint' if half is self.to_dst else 'client'}: {error.strerror}"
        if error.errno not in _AFTER_FIN:
            # The system says it once, and has said it to send(): recv() will come to an end that looks like FIN.
            _reset_when_closed(self._src if half is self.to_dst else self._dst)
        self._arm(self._loop.now())

    def parted(self) -> None:
        if self.to_dst.ended and self.to_src.ended:
            self._finish()

    # Ends that come from here.

    def abort(self, cause: Cause, *, reset: bool = False) -> None:
        """End it now: both sockets are closed, or reset. Harmless when it has ended."""
        if self._greenlet is not None:
            self.cause, self.detail = cause, None
            if reset:
                _reset_when_closed(self._src)
                _reset_when_closed(self._dst)
            self._finish()

    def end_when_quiet(self, cause: Cause) -> None:
        """From now on, end it with FIN as soon as it is quiet; who asks ends it otherwise, in time."""
        if self._greenlet is not None and not self._parting:
            self._expired = cause
            self._cut_at = inf
            if self._young:
                self._nursery.remove(self)
                self._young = False
            self.ends_at = now = self._loop.now()
            self._arm(now)

    def is_quiet(self, now: float) -> bool:
        """Nothing is under way: the last byte went to the client 50 ms ago, none is held here, unread or unsent."""
        to_dst, to_src = self.to_dst, self.to_src
        return (
            to_dst.rest is None
            and to_src.rest is None
            # Both in one turn of the loop: which came last is not known, and it may have been the next request.
            and (to_src.last_at > to_dst.last_at or not (to_dst.bytes or to_dst.ended))
            and now - to_src.last_at >= QUIET_SECS
            and not any(unsent_bytes(side) or unread_bytes(side) for side in (self._src, self._dst))
        )

    def _part(self, cause: Cause, detail: str) -> None:
        """FIN to both sides, then read what they still say to its end: a clean end, and no reset."""
        self._fail(cause, detail)
        self._parting = True
        for half in (self.to_dst, self.to_src):
            try:
                half.pass_end_on()
            except OSError:
                half.ended = True  # gone already: nothing of it is waited for
            half.start_discarding()
        self._arm(self._loop.now())
        self.parted()

    def _fail(self, cause: Cause, detail: str | None = None) -> None:
        """It ends for `cause`, unless something had gone wrong before: FIN from one side had not."""
        if self.cause is None or not self.cause.is_failure:
            self.cause, self.detail = cause, detail

    def _finish(self) -> None:
        parked, self._greenlet = self._greenlet, None
        if parked is None:
            return
        if self.cause is None:
            self.cause = Cause.OTHER
        if greenlet.getcurrent() is self._hub:
            parked.switch()
        else:
            self._loop.run_callback(parked.switch)

    # The one timer: idle, half-close and lifetime, whichever is due first. A young one has none.

    def _grow_up(self) -> None:
        """Leave timer and options to the nursery, if no limit can be reached while it is young."""
        if self._limits.spare_the_young:
            self._young = True
            self._nursery.add(self)
        else:
            self.grown()

    def grown(self) -> None:
        """It has lasted. See `Nursery`."""
        self._young = False
        for side, options in zip((self._src, self._dst), self._late_options, strict=True):
            with suppress(OSError):  # gone in this very turn: reading will tell
                for option in options:
                    side.setsockopt(*option)
        self._arm(self._loop.now())

    def _arm(self, now: float) -> None:
        if self._young:
            return
        due = self._due(now)
        if due is None:
            return
        if self._timer is not None:
            self._timer.close()
        self._timer = self._loop.timer(max(due - now, 0.001))
        self._timer.start(self._check)

    def _silence_limit(self) -> tuple[float | None, Cause]:
        if self.to_dst.ended or self.to_src.ended:
            return self._limits.half_close_secs, Cause.HALF_CLOSE
        return self._limits.idle_secs, Cause.IDLE

    def _silent_for(self, secs: float) -> str:
        """The words that go with `idle` or `half_close`."""
        if not (self.to_dst.ended or self.to_src.ended):
            return f"no byte either way for {secs:g} s (idleTimeoutMs)"
        ended, silent = ("client", "endpoint") if self.to_dst.ended else ("endpoint", "client")
        return f"the {ended} had ended its side, and the {silent} was silent for {secs:g} s (halfCloseTimeoutMs)"

    def _due(self, now: float) -> float | None:
        """When `_check` must look again, loop time; bytes only move this later, so it need not hear of them."""
        if self._parting:
            return now + PARTING_SECS
        last_at = max(self.to_dst.last_at, self.to_src.last_at)
        silence, _ = self._silence_limit()
        due = None if silence is None else last_at + silence
        if self.ends_at is not None:
            ends = self.ends_at if now < self.ends_at else now + QUIET_SECS
            due = ends if due is None else min(due, ends)
        return due

    def _check(self) -> None:
        now = self._loop.now()
        silence, cause = self._silence_limit()
        if self._parting:
            self._finish()
        elif silence is not None and now >= max(self.to_dst.last_at, self.to_src.last_at) + silence:
            self._fail(cause, self._silent_for(silence))
            self._finish()
        elif self.ends_at is not None and now >= self.ends_at and self.is_quiet(now):
            self._part(self._expired, "at a quiet moment")
        elif now >= self._cut_at:
            self._fail(self._expired, "it never came to rest, and was cut after the grace")
            self._finish()
        else:
            self._arm(now)


def _reset_when_closed(sock: Side) -> None:
    """Closing `sock` will send RST and drop what is unsent."""
    sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)


def _cause_of(error: OSError) -> Cause:
    if isinstance(error, ssl.SSLError):
        return Cause.TLS
    if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
        return Cause.RESET
    # Keepalive or TCP_USER_TIMEOUT gave the peer up.
    if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Cause.TIMEOUT
    return Cause.OTHER

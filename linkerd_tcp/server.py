"""One listener, and the story of each connection that it accepts."""

import logging
import random
from _socket import socket as Socket
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent
import greenlet
from gevent.event import AsyncResult
from gevent.hub import get_hub

from linkerd_tcp import starttls
from linkerd_tcp.book import Book
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.figures import ServerFigures, count
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.crew import Crew
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.duplex import Duplex, Limits, Side
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.last_words import Habit
from linkerd_tcp.net.listener import Acceptor
from linkerd_tcp.net.options import can_wait, to_setsockopt
from linkerd_tcp.net.peek import FirstBytes
from linkerd_tcp.net.throttle import Throttle
from linkerd_tcp.net.tls import HandshakeFailed
from linkerd_tcp.preface import Preface
from linkerd_tcp.record import Record, ServerName, address_text
from linkerd_tcp.router import Router

QUEUE_LINGER_SECS: Final = 0.2
"""How long an ending listener waits for handshakes that are under way, so that they are served too."""

SHORT_SECS: Final = 1.0
"""A connection that its endpoint has ended within this time was a short one."""

if TYPE_CHECKING:
    from linkerd_tcp.terminator import Terminator

_log = logging.getLogger(__name__)


class Identifier(Protocol):
    """Turns an envelope into a destination path; raises ConnectionFailed (cause identify) when it finds none.

    It may look at the first bytes, which stay in the socket; a server-first protocol sends none.
    """

    def identify(self, envelope: Envelope, first: FirstBytes) -> Path: ...


class Server:
    """A listener of a router. It pauses at its limits and never accepts what it cannot serve."""

    def __init__(
        self,
        config: ServerConfig,
        router: Router,
        listening: Socket,
        book: Book,
        capacity: Capacity,
        buffer: Buffer,
        terminator: "Terminator | None" = None,
    ) -> None:
        self.local: tuple[str, int] = listening.getsockname()[:2]
        self.label = address_text(self.local)
        self.figures = ServerFigures()
        self.log_access: Callable[[Record], None] | None = None
        self._book = book
        self._capacity = capacity
        self._buffer = buffer
        self._crew = Crew(self._serve)
        self._throttle = Throttle()
        self._habit = Habit()
        self._acceptor = Acceptor(listening, self._accepted, self._may_accept)
        self._wanted = False
        self._stopped = False
        self._configure(config, router, terminator)

    @property
    def greenlets(self) -> int:
        """Those of its connections, and those that wait for the next one."""
        return self.figures.active + self._crew.resting

    def sweep(self) -> None:
        """Let go of what only a rush has needed; to be called every second or so."""
        self._crew.thin_out()

    def start(self) -> None:
        self._wanted = True
        self._accept_again()

    def reconfigure(self, config: ServerConfig, router: Router, terminator: "Terminator | None" = None) -> None:
        """What connections accepted from now on get; those that are open keep what they began with."""
        before = self.terminator
        self._configure(config, router, terminator)
        self._book.forget_alike()
        if before is not None and before is not terminator:
            before.close()
        self._accept_again()

    def _configure(self, config: ServerConfig, router: Router, terminator: "Terminator | None") -> None:
        self.config = config
        self.router = router
        self.terminator = terminator
        self._identifier: Identifier = config.identifier_config().build()
        self._name = ServerName.of(self.label, None if config.identifier is None else config.identifier.kind)
        self._preface = Preface(config, self.figures, terminator)
        self._detect_secs = config.detect_timeout_ms / 1000
        self._connect_secs = config.connect_timeout_ms / 1000
        self._most = config.max_concurrency
        self._lifetime_secs = config.connection_lifetime_secs
        for option in to_setsockopt(config.socket_options, off_too=True):
            if not can_wait(option):
                # On the listener, where accepted sockets inherit them: no system call for each.
                self._acceptor.listening.setsockopt(*option)
        self._late_options = tuple(option for option in to_setsockopt(config.socket_options) if can_wait(option))
        self._limits = Limits(
            idle_secs=config.idle_timeout_ms / 1000 or None,
            half_close_secs=config.half_close_timeout_ms / 1000 or None,
            lifetime_grace_secs=config.connection_lifetime_grace_secs,
        )

    def stop_listening(self) -> None:
        """Serve whoever waits in the listen queue, then close the listener. Open connections go on.

        Blocks the calling greenlet, about QUEUE_LINGER_SECS. The queue is taken whole whatever the limits say:
        nobody would ever serve it otherwise, and it is no longer than the backlog.
        """
        if self._stopped:
            return
        self._wanted, self._stopped = False, True
        self._acceptor.pause()
        self._acceptor.refuse_new()
        until = monotonic() + QUEUE_LINGER_SECS
        while self._accept_waiting() or monotonic() < until:
            gevent.sleep(0.01)
        self._acceptor.close()
        self._crew.close()
        if self.terminator is not None:
            self.terminator.close()

    def hand_over(self) -> None:
        """Accept nobody any more; open connections go on. Who waits in the listen queue is for the process that has
        this listener too, and goes on with it.
        """
        if self._stopped:
            return
        self._wanted, self._stopped = False, True
        self._acceptor.close()
        self._crew.close()
        if self.terminator is not None:
            self.terminator.close()

    def _accept_waiting(self) -> bool:
        """In the hub, where a connection's greenlet may be started."""
        done: AsyncResult[bool] = AsyncResult()
        get_hub().loop.run_callback(lambda: done.set(self._acceptor.accept_waiting()))
        return bool(done.get())

    def _accept_again(self) -> None:
        """Accept after a pause, as far as the limits allow."""
        if not self._wanted or self.figures.active >= self._most:
            return
        if self._capacity.full:
            self._capacity.when_free(self._accept_again)
        else:
            self._acceptor.resume()

    def _accepted(self, client: Socket, peer: Any) -> None:
        self._capacity.take()
        self.figures.accepts += 1
        self._crew.start((client, peer[:2]))

    def _may_accept(self) -> bool:
        """False at a limit, and then it pauses until the limits allow more."""
        figures = self.figures
        if self._capacity.full or figures.accepts - figures.closes >= self._most:
            self._acceptor.pause()
            self._accept_again()
            return False
        return True

    def _serve(self, accepted: tuple[Socket, tuple[str, int]]) -> None:
        """The story of one connection, from accept to close: preface, identify, bind and connect, stream, close.

        Whatever stops it on the way is one cause in its record; all it held is given back at the end, in one place.
        """
        client, source = accepted
        record = self._book.begin(self.router.label, self._name, source)
        record.task = greenlet.getcurrent()
        side: Side = client
        upstream = None
        try:
            envelope = record.envelope = Envelope(source, self.local, record.clock + self._detect_secs)
            if not self._preface.is_empty:
                side, envelope = self._preface.read(client, envelope, record)
                record.envelope, record.source = envelope, envelope.source
            record.path = self._identifier.identify(envelope, FirstBytes(client, envelope.deadline))
            record.identified_at = identified_at = monotonic()
            until = identified_at + self._connect_secs
            upstream = self.router.connect(record.path, record, until)
            if envelope.start_tls and not envelope.tls and isinstance(upstream.sock, Socket):
                starttls.ask(upstream.sock, record.endpoint, until)
            record.step("connected")
            connected_at = monotonic()
            self.figures.connect_latency.observe(connected_at - record.clock)
            try:
                late_options = (self._late_options, upstream.late_options)
                habit = self._habit
                duplex = Duplex(side, upstream.sock, self._buffer, self._draw_limits(), late_options, habit.is_short)
                record.flow = duplex
                record.end(duplex.run(), duplex.detail)
            finally:
                lasted_secs = monotonic() - connected_at
                self.figures.stream_duration.observe(lasted_secs)
                habit.note(record.cause is Cause.ENDPOINT_CLOSED and lasted_secs < SHORT_SECS)
        except ConnectionFailed as failure:
            record.end(failure.cause, str(failure))
            if record.flow is None:
                self._not_connected(failure)
        finally:
            client.close()
            if record.cause is None:
                record.end(Cause.OTHER, "its greenlet failed; the log has the traceback")
            self._book.end(record)
            if upstream is not None:
                # Before it is let go of: an endpoint that discovery no longer names is forgotten then, with its bytes.
                upstream.endpoint.rx_bytes += record.rx_bytes
                upstream.endpoint.tx_bytes += record.tx_bytes
                upstream.close()
            self._closed(record)

    def _not_connected(self, failure: ConnectionFailed) -> None:
        """Count it, and say it in the log: one of each kind now and then, however many there are."""
        count(self.figures.connect_failures, failure.cause)
        kind: str = failure.cause
        if isinstance(failure, HandshakeFailed):
            kind = failure.reason
            self.figures.tls_failures[kind] = self.figures.tls_failures.get(kind, 0) + 1
        unsaid = self._throttle.ask(kind)
        if unsaid is not None:
            more = f" ({unsaid} more like this)" if unsaid else ""
            _log.warning("%s: a client was not connected: %s: %s%s", self.label, failure.cause, failure, more)

    def _draw_limits(self) -> Limits:
        """This connection's limits: lifetimes are spread, or all that began together would end together."""
        lifetime_secs = self._lifetime_secs
        if lifetime_secs is None:
            return self._limits
        jitter = self.config.connection_lifetime_jitter
        return replace(self._limits, lifetime_secs=lifetime_secs * random.uniform(1 - jitter, 1))

    def _closed(self, record: Record) -> None:
        figures = self.figures
        figures.closes += 1
        figures.rx_bytes += record.rx_bytes
        figures.tx_bytes += record.tx_bytes
        assert record.cause is not None
        if record.cause.is_failure:
            count(figures.failures, record.cause)
        self._capacity.give_back()
        if self._acceptor.paused:
            self._accept_again()
        if self.log_access is not None:
            self.log_access(record)


def end_connection(record: Record, cause: Cause, *, reset: bool = False) -> None:
    """End an open connection from outside, in whatever stage it is; harmless when it has ended."""
    get_hub().loop.run_callback(_end_in_hub, record, cause, reset)


def _end_in_hub(record: Record, cause: Cause, reset: bool) -> None:
    # Looked at only here: since end_connection was called it may have gone on to stream, or ended, and its greenlet
    # may serve another connection by now.
    if record.flow is not None:
        record.flow.abort(cause, reset=reset)
    elif record.task is not None:
        record.task.throw(ConnectionFailed(cause, "ended while it was being connected"))

"""Asking DNS servers one question, within a time that no server can stretch."""

import errno
import secrets
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from dns.name import Name
from dns.rcode import Rcode
from dns.rcode import to_text as rcode_text
from dns.rdatatype import RdataType
from dns.rdatatype import to_text as type_text
from gevent.pool import Group
from gevent.queue import Empty, SimpleQueue

from linkerd_tcp.net.turns import Turns
from namers.dns_message import (
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Malformed,
    Reply,
    is_reply_to,
    query,
    read,
)
from namers.dns_servers import Server

QUERY_SECS: Final = 2.0
NEXT_SERVER_SECS: Final = 0.5
"""How long a server is alone in being asked. With many servers it is less, so that each is asked in time."""

RESEND_SECS: Final = 0.5
"""After this a datagram counts as lost and is sent again; then after twice this, and so on."""

MAX_WRONG: Final = 100
"""Datagrams from one server that are no answer before it is given up on: a flood must cost no more."""

MAX_HOPS: Final = 8
"""Names asked for one after another, where servers give an alias and not what it leads to."""

_CAUSES: Final = {SERVFAIL: "servfail", REFUSED: "refused", FORMERR: "formerr", NOTIMP: "notimp"}


class AskError(Exception):
    """No answer that can be used. `cause` is what it is counted under; the text names servers and what each did."""

    def __init__(self, cause: str, words: str) -> None:
        super().__init__(words)
        self.cause = cause


def ask(servers: Sequence[Server], name: Name, rdtype: RdataType, secs: float = QUERY_SECS) -> Reply:
    """What there is of `name`: data, or none and for how long that holds (NXDOMAIN, or no record of the type).

    Returns or raises AskError within `secs`. Cooperative: call it from a greenlet that may wait.
    """
    until = monotonic() + secs
    asked, ttl_secs = name, None
    for _ in range(MAX_HOPS):
        try:
            reply = _Race(servers, asked, rdtype, until).run()
        except AskError as error:
            raise AskError(error.cause, f"{type_text(rdtype)} of {name.to_text(True)}: {error}") from None
        least = reply.ttl_secs if ttl_secs is None else min(ttl_secs, reply.ttl_secs)
        if reply.alias is None:
            return Reply(reply.rcode, data=reply.data, ttl_secs=least)
        asked, ttl_secs = reply.alias, least
    raise AskError("malformed", f"{type_text(rdtype)} of {name.to_text(True)}: more than {MAX_HOPS} aliases to follow")


class _Race:
    """One question put to the servers in their order; the first usable reply wins.

    The next server is asked when one has failed, or has had its time and is still being waited for.
    """

    def __init__(self, servers: Sequence[Server], name: Name, rdtype: RdataType, until: float) -> None:
        self._servers = servers
        self._name = name
        self._rdtype = rdtype
        self._until = until
        self._news: SimpleQueue[tuple[Server, Reply | AskError]] = SimpleQueue()
        self._running = 0
        self._attempts: list[_Attempt] = []
        self._problems: dict[Server, AskError] = {}

    def run(self) -> Reply:
        group = Group()
        alone_secs = min(NEXT_SERVER_SECS, (self._until - monotonic()) / max(1, len(self._servers)))
        try:
            for server in self._servers:
                attempt = _Attempt(server, self._name, self._rdtype, self._until)
                self._attempts.append(attempt)
                self._running += 1
                group.spawn(self._run, attempt)
                is_last = len(self._attempts) == len(self._servers)
                reply = self._hear(self._until if is_last else monotonic() + alone_secs, is_last)
                if reply is not None:
                    return reply
        finally:
            group.kill()
        raise self._failure()

    def _run(self, attempt: "_Attempt") -> None:
        outcome: Reply | AskError
        try:
            outcome = attempt.run()
        except AskError as error:
            outcome = error
        except OSError as error:
            outcome = AskError("network", error.strerror or str(error))
        self._news.put((attempt.server, outcome))

    def _hear(self, until: float, is_last: bool) -> Reply | None:
        while self._running:
            try:
                server, outcome = self._news.get(timeout=max(0.0, min(until, self._until) - monotonic()))
            except Empty:
                return None
            self._running -= 1
            if isinstance(outcome, Reply):
                return outcome
            self._problems[server] = outcome
            if not is_last:
                return None
        return None

    def _failure(self) -> AskError:
        problems = [
            (attempt.server, self._problems.get(attempt.server) or attempt.silence()) for attempt in self._attempts
        ]
        if not problems:
            return AskError("network", "no server is configured")
        return AskError(problems[0][1].cause, "; ".join(f"{server}: {problem}" for server, problem in problems))


class _Attempt:
    """One server asked: by UDP, by TCP where the answer does not fit, without EDNS where it is not understood."""

    def __init__(self, server: Server, name: Name, rdtype: RdataType, until: float) -> None:
        self.server = server
        self._name = name
        self._rdtype = rdtype
        self._until = until
        self._wrong = 0
        self._wrong_words = ""
        self._over = "UDP"
        self._turns = Turns()

    def silence(self) -> AskError:
        """What to say when the time is over."""
        if self._wrong:
            return AskError("malformed", f"sent nothing usable over {self._over} ({self._wrong_words})")
        return AskError("timeout", f"no answer over {self._over} in time")

    def run(self) -> Reply:
        reply = self._ask(edns=True)
        if reply.rcode in (FORMERR, NOTIMP):
            reply = self._ask(edns=False)
        if reply.rcode not in (NOERROR, NXDOMAIN):
            cause = _CAUSES.get(reply.rcode, "rcode")
            raise AskError(cause, f"answered {rcode_text(Rcode.make(reply.rcode))}")
        if reply.is_referral:
            raise AskError("lame", "knows nothing of it and does not ask further")
        return reply

    def _ask(self, *, edns: bool) -> Reply:
        number = secrets.randbelow(65536)
        message = query(number, self._name, self._rdtype, edns=edns)
        self._over = "UDP"
        reply = self._by_udp(number, message)
        if reply.truncated:
            self._over = "TCP"
            reply = self._by_tcp(number, message)
        return reply

    def _left_secs(self) -> float:
        left = self._until - monotonic()
        if left <= 0:
            raise self.silence()
        return left

    def _read(self, number: int, data: bytes) -> Reply | None:
        """The reply in `data`; None, counted, where it is none to the question asked."""
        words = "a reply to something else"
        if is_reply_to(number, data):
            reading = read(data, self._name, self._rdtype)
            try:
                while True:
                    next(reading)
                    self._turns.rest()
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            except Malformed as error:
                words = str(error)
        self._wrong += 1
        self._wrong_words = words
        self._turns.rest()  # whoever sends many of them must not have the loop to himself
        return None

    def _by_udp(self, number: int, message: bytes) -> Reply:
        resend_secs = RESEND_SECS
        with socket.socket(self.server.family, socket.SOCK_DGRAM) as sock:
            sock.connect(self.server.address())  # so that only this server is heard, and a port that is closed too
            while True:
                sock.settimeout(self._left_secs())
                sock.send(message)
                again_at = monotonic() + resend_secs
                resend_secs *= 2
                while (left := again_at - monotonic()) > 0:
                    sock.settimeout(min(left, self._left_secs()))
                    with suppress(TimeoutError):
                        reply = self._read(number, sock.recv(65535))
                        if reply is not None:
                            return reply
                        if self._wrong > MAX_WRONG:
                            raise self.silence()

    def _by_tcp(self, number: int, message: bytes) -> Reply:
        with socket.socket(self.server.family, socket.SOCK_STREAM) as sock:
            try:
                sock.settimeout(self._left_secs())
                sock.connect(self.server.address())
                sock.settimeout(self._left_secs())
                sock.sendall(struct.pack("!H", len(message)) + message)
                (length,) = struct.unpack("!H", self._exactly(sock, 2))
                data = self._exactly(sock, length)
            except TimeoutError as error:
                if error.errno == errno.ETIMEDOUT:
                    raise  # the system's own, about the network
                raise self.silence() from None
            except OSError as error:
                words = f"{error.strerror or error} over TCP (its answer is too long for UDP)"
                raise AskError("network", words) from None
            reply = self._read(number, data)
            if reply is None or reply.truncated:
                raise AskError("malformed", f"sent nothing usable over TCP ({self._wrong_words or 'truncated'})")
            return reply

    def _exactly(self, sock: socket.socket, number: int) -> bytes:
        data = bytearray()
        while len(data) < number:
            sock.settimeout(self._left_secs())
            more = sock.recv(number - len(data))
            if not more:
                raise AskError("malformed", "ended the TCP connection before its answer")
            data += more
            self._turns.rest()
        return bytes(data)

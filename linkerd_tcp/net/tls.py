"""TLS over memory BIOs: the handshake in a greenlet, the stream in watcher callbacks.

Not gevent's SSLSocket: it blocks, so it has no place in a callback; and its way of ending loses a reply in flight. Here
ciphertext is moved by us, and whatever has come in is decrypted before a callback returns, so nothing waits inside
the TLS object where no watcher sees it.
"""

import errno
import socket
import ssl
from _socket import socket as Socket
from enum import StrEnum
from time import monotonic
from typing import Any, Final, final

from gevent.hub import get_hub
from gevent.socket import wait_write

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.net.wait import ReadWaiter

_MORE_TO_COME: Final = getattr(socket, "MSG_MORE", 0)

TICKET_SECS: Final = 0.05
"""How long a session ticket waits at most for an answer that it can go with."""

HANDSHAKE_BYTES: Final = 16_384
"""Read in one go before the stream; then it is a shared buffer's size."""


@final
class TlsCause(StrEnum):
    """Why a handshake failed: the `cause` of l5d_srv_tls_failures_total."""

    UNKNOWN_CA = "unknown_ca"
    NAME_MISMATCH = "name_mismatch"
    EXPIRED = "expired"
    VERSION = "version"
    NO_SHARED_CIPHER = "no_shared_cipher"
    PLAINTEXT = "plaintext"
    UNRECOGNIZED_NAME = "unrecognized_name"
    NO_CERTIFICATE = "no_certificate"
    OTHER = "other"


# OpenSSL's reason names, of errors of ours and of alerts from the peer; the first that is part of the reason counts.
_REASONS: Final = (
    ("UNRECOGNIZED_NAME", TlsCause.UNRECOGNIZED_NAME),
    ("CALLBACK_FAILED", TlsCause.UNRECOGNIZED_NAME),
    ("UNKNOWN_CA", TlsCause.UNKNOWN_CA),
    ("CERTIFICATE_EXPIRED", TlsCause.EXPIRED),
    ("HTTP_REQUEST", TlsCause.PLAINTEXT),
    ("HTTPS_PROXY_REQUEST", TlsCause.PLAINTEXT),
    ("WRONG_VERSION_NUMBER", TlsCause.PLAINTEXT),
    ("RECORD_LAYER_FAILURE", TlsCause.PLAINTEXT),
    ("PACKET_LENGTH_TOO_LONG", TlsCause.PLAINTEXT),
    ("PROTOCOL_VERSION", TlsCause.VERSION),
    ("UNSUPPORTED_PROTOCOL", TlsCause.VERSION),
    ("NO_SHARED_CIPHER", TlsCause.NO_SHARED_CIPHER),
    ("HANDSHAKE_FAILURE", TlsCause.NO_SHARED_CIPHER),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", TlsCause.NO_CERTIFICATE),
    ("CERTIFICATE_REQUIRED", TlsCause.NO_CERTIFICATE),
)

# X509_V_ERR_ numbers of openssl/x509_vfy.h.
_EXPIRED: Final = frozenset({9, 10})
_MISMATCH: Final = frozenset({62, 63, 64})
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21, 24, 26, 27})


def cause_of(error: ssl.SSLError) -> TlsCause:
    """What a failed handshake is counted under."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _EXPIRED:
            return TlsCause.EXPIRED
        if error.verify_code in _MISMATCH:
            return TlsCause.NAME_MISMATCH
        return TlsCause.UNKNOWN_CA if error.verify_code in _UNTRUSTED else TlsCause.OTHER
    reason = error.reason or ""
    return next((cause for part, cause in _REASONS if part in reason), TlsCause.OTHER)


class HandshakeFailed(ConnectionFailed):
    """The cause of the connection is `tls`; `reason` is the handshake's own."""

    def __init__(self, reason: TlsCause, message: str) -> None:
        super().__init__(Cause.TLS, message)
        self.reason = reason


class TlsEnd:
    """One side of a connection that speaks TLS, with the few methods of a socket that a duplex uses.

    `fill` first, then `recv_into` until BlockingIOError: then all that has come is decrypted. `send` takes all of what
    it is given; ciphertext that the socket did not take is `unflushed`, and goes before anything later.
    """

    __slots__ = (
        "_announced",
        "_broken",
        "_decrypt",
        "_decrypted",
        "_encrypt",
        "_incoming",
        "_object",
        "_outgoing",
        "_unsent",
        "fileno",
        "getsockopt",
        "setsockopt",
        "sock",
    )

    def __init__(
        self, sock: Socket, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None
    ) -> None:
        self.sock = sock
        self.fileno = sock.fileno
        self.setsockopt = sock.setsockopt
        self.getsockopt = sock.getsockopt
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        # What is called for each piece of the stream, without SSLObject's own frames around it.
        within: Any = self._object._sslobj  # type: ignore[attr-defined]
        self._encrypt, self._decrypt, self._decrypted = within.write, within.read, within.pending
        self._unsent = memoryview(b"")
        self._announced = False
        self._broken: OSError | None = None

    @property
    def tls(self) -> ssl.SSLObject:
        """What was agreed: version, cipher, ALPN, the peer's certificate."""
        return self._object

    def handshake(self, until: float) -> None:
        """Agree, by `until` (time.monotonic seconds). Blocks the calling greenlet.

        Raises TimeoutError, ssl.SSLError (see `cause_of`; the peer has been sent the alert), or OSError when the
        connection breaks, ConnectionResetError also when it just ends.
        """
        waiter = ReadWaiter(self.fileno(), until)
        try:
            if self._object.server_side:
                self._fill_when_readable(waiter)  # the client speaks first
            while True:
                try:
                    self._object.do_handshake()
                except ssl.SSLWantReadError:
                    if self._flush_by(until):
                        waiter.wait()  # the answer to what was just sent cannot be here yet
                    self._fill_when_readable(waiter)
                except ssl.SSLError:
                    self._send_last_words()
                    raise
                else:
                    break
        finally:
            waiter.close()
        if self._object.server_side and self._object.version() == "TLSv1.3":
            _TICKETS.add(self)
        else:
            self._flush_by(until)

    def fill(self, memory: bytearray, view: memoryview) -> None:
        """Take in what the socket has, one read of it by way of `memory` (and `view` of it).

        BlockingIOError if there is nothing, OSError if the connection broke.
        """
        size = self.sock.recv_into(memory)
        if size:
            self._incoming.write(view[:size])
        elif self._broken is not None:
            raise self._broken
        else:
            self._incoming.write_eof()

    @property
    def more(self) -> bool:
        """Whether something of what was filled in may still wait to be decrypted."""
        return bool(self._incoming.pending or self._decrypted())

    def recv_into(self, memory: bytearray | memoryview) -> int:
        """Decrypted bytes of what was filled in; 0 at the end, whether or not the peer announced it.

        BlockingIOError when all is decrypted; ssl.SSLError (an OSError) when it is no TLS.
        """
        try:
            size: int = self._decrypt(len(memory), memory)
            return size
        except ssl.SSLWantReadError:
            self._answer()
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def send(self, data: memoryview) -> int:
        """Encrypt and send all of `data`; BlockingIOError, and nothing is taken, while older ciphertext waits."""
        if self._unsent:
            self._flush()
        if data:
            self._encrypt(data)
            out = self._outgoing.read()
            try:
                sent = self.sock.send(out)
            except (BlockingIOError, InterruptedError):
                sent = 0
            if sent < len(out):
                self._unsent = memoryview(out)[sent:]
        return len(data)

    @property
    def unflushed(self) -> bool:
        """Whether ciphertext waits for the socket to take it."""
        return bool(self._unsent)

    def send_ticket(self) -> None:
        """What is left of the handshake and nobody waits for, if it is still here. Raises nothing."""
        if self.fileno() < 0:
            return
        try:
            self._answer()
        except OSError as error:
            # The system says it once: whoever reads next would find an end that looks like FIN.
            self._broken = error

    def announce_end(self) -> None:
        """Say that nothing more will be sent; what the socket does not take of it is `unflushed`. Twice is once.

        Only when all that came in is decrypted: OpenSSL takes data behind its own announcement for an error. Raises
        OSError when the connection broke.
        """
        if self._announced:
            return
        self._announced = True
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            pass  # said; the peer's own announcement is read as the end of its stream, later
        except ssl.SSLError as error:
            raise ConnectionResetError(errno.ECONNRESET, str(error.reason)) from error
        self._unsent = memoryview(bytes(self._unsent) + self._outgoing.read())
        # FIN follows, from shutdown or close, and takes this along in one packet.
        self._try_flush(_MORE_TO_COME)

    def shutdown(self, how: int) -> None:
        """FIN, after the announcement; the other direction goes on."""
        self.announce_end()
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()

    def _answer(self) -> None:
        """What TLS itself has to say to what was read: key updates, tickets."""
        if self._outgoing.pending and not self._unsent:
            self._unsent = memoryview(self._outgoing.read())
            self._try_flush()

    def _flush(self, flags: int = 0) -> None:
        sent = self.sock.send(self._unsent, flags)
        self._unsent = self._unsent[sent:]
        if self._unsent:
            raise BlockingIOError

    def _try_flush(self, flags: int = 0) -> None:
        try:
            self._flush(flags)
        except (BlockingIOError, InterruptedError):
            return

    def _flush_by(self, until: float) -> bool:
        """Whether there was anything."""
        self._unsent = memoryview(bytes(self._unsent) + self._outgoing.read())
        if not self._unsent:
            return False
        while self._unsent:
            try:
                self._flush()
            except (BlockingIOError, InterruptedError):
                wait_write(self.fileno(), timeout=_left(until), timeout_exc=TimeoutError("TLS handshake"))
        return True

    def _fill_when_readable(self, waiter: ReadWaiter) -> None:
        while True:
            try:
                data = self.sock.recv(HANDSHAKE_BYTES)
            except (BlockingIOError, InterruptedError):
                waiter.wait()
                continue
            if not data:
                raise ConnectionResetError("the connection ended")
            self._incoming.write(data)
            return

    def _send_last_words(self) -> None:
        """The alert that says why, as far as the socket takes it at once."""
        self._unsent = memoryview(bytes(self._unsent) + self._outgoing.read())
        try:
            self._try_flush()
        except OSError:
            self._unsent = memoryview(b"")  # it has gone; its own reason to is the one that is raised


class _Tickets:
    """Session tickets on their way, which no client waits for (RFC 8446, section 4.6.1).

    Sent by itself, one costs a packet and a wake-up of the client, a fortieth of a handshake; so it goes with the first
    answer, or after TICKET_SECS where none has come by then. One timer for all.
    """

    def __init__(self) -> None:
        self._ends: list[TlsEnd] = []

    def add(self, end: TlsEnd) -> None:
        if not self._ends:
            timer = get_hub().loop.timer(TICKET_SECS)
            timer.start(self._send, timer)
        self._ends.append(end)

    def _send(self, timer: Any) -> None:
        timer.close()
        ends, self._ends = self._ends, []
        for end in ends:
            end.send_ticket()


_TICKETS: Final = _Tickets()


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError("TLS handshake")
    return left

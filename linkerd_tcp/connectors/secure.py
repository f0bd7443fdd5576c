"""TLS to endpoints: the handshake after whatever `inner` does, within the connect timeout."""

import logging
import re
import ssl
from _socket import socket as Socket
from ipaddress import ip_address
from time import monotonic
from typing import Final, NamedTuple

from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.connectors.connector import ConnectFailed, Target
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.connectors.handshake import handshake_failed
from linkerd_tcp.connectors.header import HeaderConnector
from linkerd_tcp.credentials import credentials_for
from linkerd_tcp.errors import Cause
from linkerd_tcp.net.pem import KeyFileError
from linkerd_tcp.net.throttle import Throttle
from linkerd_tcp.net.tls import TlsEnd
from linkerd_tcp.record import Record

KEEP_SECS: Final = 60.0
"""How long a session is used that the endpoint resumes."""

ASK_SECS: Final = 1.0
"""How long one is kept that it did not resume."""

MAX_NAME_CHARS: Final = 253
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")

_log = logging.getLogger(__name__)


class SecureConnector:
    """Connects as `inner` does, then speaks TLS as `settings` say; a certificate is verified unless they say not to.

    A handshake that fails is a ConnectFailed with cause `tls` that speaks against the endpoint. Files that cannot be
    used fail every connect until they can, which speaks against nobody. See `Connector.connect`.
    """

    __slots__ = ("_credentials", "_inner", "_name", "_problem", "_throttle", "_verifies")

    def __init__(self, inner: DirectConnector | HeaderConnector, settings: ClientTls) -> None:
        self._inner = inner
        self._credentials = credentials_for(settings)
        self._verifies = not settings.disable_validation
        self._name = None if settings.dns_name is None else server_name(settings.dns_name)
        self._problem = name_problem(settings)
        self._throttle = Throttle()

    def connect(self, target: Target, timeout_secs: float, record: Record | None = None) -> "EndpointTls":
        """See `Connector.connect`; what it gives is closed as a socket is."""
        until = monotonic() + timeout_secs
        context = self._context(target)
        # Without a name (settings merged from several entries may have none) the certificate must hold the address.
        name = self._name or (target.sockaddr[0] if self._verifies else None)
        sock = self._inner.connect(target, timeout_secs, record)
        try:
            end = EndpointTls(sock, context, target, name)
            try:
                with target.interruptible():
                    end.handshake(until)
            except OSError as error:
                target.session = None
                failed = handshake_failed(target.text, error, end.tls, name)
                if (unsaid := self._throttle.ask((target.text, failed.cause, str(failed)))) is not None:
                    _log.warning("%s%s", failed, f" ({unsaid} more like this)" if unsaid else "")
                raise failed from None
        except BaseException:
            sock.close()
            raise
        return end

    def _context(self, target: Target) -> ssl.SSLContext:
        problem = self._problem
        if problem is None:
            try:
                return self._credentials.context()
            except KeyFileError as error:
                problem = str(error)
        raise ConnectFailed(Cause.TLS, f"{target.text}: TLS: {problem}", blames_endpoint=False, elsewhere=False)


class Saved(NamedTuple):
    """A session, of which context, and when it was taken (time.monotonic)."""

    context: ssl.SSLContext
    session: ssl.SSLSession | None
    at: float


class EndpointTls(TlsEnd):
    """The near end of TLS to an endpoint; its last session is kept with the endpoint, for the next handshake.

    With TLS 1.3 what resumes a session comes only after the handshake, so it is taken when the connection is closed.
    A resumed session shows no certificate again: for as long as the endpoint lets it live, two hours mostly.
    """

    __slots__ = ("_context", "_target")

    def __init__(self, sock: Socket, context: ssl.SSLContext, target: Target, name: str | None) -> None:
        super().__init__(sock, context, server_side=False, server_name=name)
        self._context = context
        self._target = target
        saved: Saved | None = target.session
        # One of another context was verified by other authorities, before the files changed.
        if saved is not None and saved.session is not None and saved.context is context:
            self.tls.session = saved.session

    def close(self) -> None:
        saved: Saved | None = self._target.session
        now = monotonic()
        # Taking one copies it, 0.1 ms: not for each connection, also where an endpoint never resumes any.
        keep_secs = KEEP_SECS if self.tls.session_reused else ASK_SECS
        if saved is None or saved.context is not self._context or now - saved.at >= keep_secs:
            session = self.tls.session
            usable = session is not None and (session.has_ticket or session.id)
            self._target.session = Saved(self._context, session if usable else None, now)
        super().close()


def server_name(text: str) -> str | None:
    """As it is sent and looked for: lower case, without one trailing dot; an IP address too. None if it is neither."""
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME_CHARS:
        return name
    try:
        return str(ip_address(name))
    except ValueError:
        return None


def name_problem(settings: ClientTls) -> str | None:
    """What is wrong with dnsName, captures put in: those come from strangers."""
    name = settings.dns_name
    if name is None or server_name(name) is not None:
        return None
    return f"dnsName {name!r} is no server name: letters, digits, '-', '_' and '.' only, parts of 1 to 63"

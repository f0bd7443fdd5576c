"""One request to namerd: sent with `requests`, over a connection of its own, its answer read as it comes.

Neither proxy variables nor netrc nor cookies nor redirects: what is in the configuration is who is asked. Every wait is
an ordinary one of gevent: it may be ended by killing the greenlet, and nothing stays open then.
"""

import errno
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import gevent
import gevent.socket
import requests
from gevent.event import Event
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from linkerd_tcp import __version__
from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.credentials import credentials_for
from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.namerd.response import InTurns
from linkerd_tcp.naming.addr import Addr, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.pem import KeyFileError
from linkerd_tcp.wire.json_documents import shown

HEAD_SECS: Final = 5.0
"""From looking up the host to the head of an answer to a watch, which namerd sends at once."""

READ_BYTES: Final = 64 * 1024
ERROR_BODY_SECS: Final = 1.0
"""For the words of an answer that is no good one: they may never come."""

MAX_TARGET_BYTES: Final = 64 * 1024

_REFUSALS: Final = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ETIMEDOUT: "timeout"}

FindHost = Callable[[str], Watch[Addr]]
"""Gives the live addresses of a host, whatever their ports; the caller closes the watch."""


class RequestFailed(Exception):
    """A request without a good answer; counted under `cause`. The text has no user and password of the address.

    `of_namerd`: it says something of namerd as a whole, not of the name that was asked for.
    """

    def __init__(self, cause: str, words: str, *, of_namerd: bool = False) -> None:
        super().__init__(words)
        self.cause = cause
        self.of_namerd = of_namerd


class Http:
    """namerd's address, and requests to it."""

    def __init__(self, options: NamerdOptions, find_host: FindHost, gate: Gate) -> None:
        parts = urlsplit(options.base_url)
        where = parts.netloc.rpartition("@")[2]
        self.shown = f"{parts.scheme}://{where}"
        """The address, to be shown."""
        self._root = parts.path.rstrip("/") + "/api/1/"
        self._namespace = quote(options.namespace, safe="/")
        self._headers = {
            "Host": where,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"linkerd-tcp/{__version__}",
            "Connection": "close",
            **_authorization(parts.username, parts.password),
        }
        tls = None if parts.scheme == "http" else options.tls or ClientTls()
        host = parts.hostname or ""
        port = parts.port or (80 if tls is None else 443)
        self._dialler = _Dialler(self.shown, (host, port), tls, find_host, gate)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(_Pool(self._dialler, host))
        self._session.mount("http://", adapter)
        self._prepared = requests.Request("GET", "http://namerd/", headers=self._headers).prepare()

    def target(self, endpoint: str, query: Mapping[str, str]) -> str:
        """What is asked for: GET /api/1/<endpoint>/<namespace>?<query>."""
        return f"{self._root}{endpoint}/{self._namespace}?{urlencode(query, quote_via=quote, safe='/')}"

    def open(self, target: str, head_secs: float) -> "Answer":
        """The answer to GET `target`, once its head is there and says 200. RequestFailed."""
        if len(target) > MAX_TARGET_BYTES:
            raise RequestFailed("limit", f"a request of {len(target)} bytes: namerd takes none of that length")
        prepared = self._prepared.copy()
        prepared.url = f"http://namerd{target}"
        with _Deadline(head_secs, f"{self.shown}: no answer within {head_secs:g} s"):
            try:
                response = self._session.send(prepared, stream=True, allow_redirects=False)
            except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
                raise _failed(self.shown, error) from None
        answer = Answer(response, self.shown)
        if response.status_code == 200 and response.headers.get("Content-Encoding", "identity") == "identity":
            return answer
        try:
            raise answer.refusal()
        finally:
            answer.close()

    def close(self) -> None:
        """Requests that are under way are their greenlets' to end."""
        self._session.close()
        self._dialler.close()


class Answer:
    """What namerd sends after a good head; to be closed."""

    def __init__(self, response: requests.Response, where: str) -> None:
        self._response = response
        self._where = where

    def read(self, secs: float) -> bytes | None:
        """What has come next, at most READ_BYTES; empty at the end, None if nothing comes for `secs`. RequestFailed."""
        timeout = gevent.Timeout.start_new(max(secs, 0.001))
        try:
            data: bytes = self._response.raw.read1(READ_BYTES)
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            return None
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise _failed(self._where, error, "cut") from None
        finally:
            timeout.close()
        return data

    def refusal(self) -> RequestFailed:
        """What an answer says that is no good one, its first line with it."""
        if self._response.status_code == 200:
            encoding = self._response.headers["Content-Encoding"]
            return RequestFailed(
                "protocol", f"{self._where}: an answer in {shown(encoding.encode())} was not asked for"
            )
        try:
            said = self.read(ERROR_BODY_SECS) if self._await_body() else b""
        except RequestFailed:
            said = b""
        words = f": {shown(said)}" if said else ""
        status = self._response.status_code
        # 400 is namerd's word for a name that it cannot read; anything else is not the name's fault.
        return RequestFailed("http_status", f"{self._where} answered {status}{words}", of_namerd=status != 400)

    def _await_body(self) -> bool:
        return self._response.headers.get("Content-Length") != "0"

    def close(self) -> None:
        self._response.close()


class _Deadline:
    """`with _Deadline(secs, words)`: RequestFailed with cause timeout where it takes longer."""

    def __init__(self, secs: float, words: str) -> None:
        self._timeout = gevent.Timeout(secs)
        self._words = words

    def __enter__(self) -> None:
        self._timeout.start()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._timeout.close()
        if error is self._timeout:
            raise RequestFailed("timeout", self._words, of_namerd=True) from None


class _Adapter(HTTPAdapter):
    """Sends everything through one pool: there is one namerd, and how it is reached is the pool's affair."""

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> "_Pool":
        return self._pool

    get_connection = get_connection_with_tls_context  # requests before 2.32

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The connection has seen to it."""

    def close(self) -> None:
        self._pool.close()


class _Pool(HTTPConnectionPool):
    def __init__(self, dialler: "_Dialler", host: str) -> None:
        self._dialler = dialler
        super().__init__(host, maxsize=1, retries=False)

    def _get_conn(self, timeout: float | None = None) -> HTTPConnection:
        """Always a new one: none is kept that might have died unnoticed."""
        return _Connection(self._dialler, self.host)

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()


class _Connection(HTTPConnection):
    response_class = InTurns

    def __init__(self, dialler: "_Dialler", host: str) -> None:
        self._dialler = dialler
        super().__init__(host)

    def connect(self) -> None:
        self.sock = self._dialler.dial()


class _PacedSocket(gevent.socket.socket):  # type: ignore[misc]  # which has no types
    """After each wait, what is to be done goes through the gate: a namerd that dies ends a thousand waits at once."""

    __slots__ = ("gate",)

    gate: Gate

    def _wait(self, *args: Any, **options: Any) -> None:
        super()._wait(*args, **options)
        self.gate.enter()


class _Dialler:
    """Connects to namerd, with TLS where there is one. RequestFailed."""

    def __init__(
        self, where: str, address: tuple[str, int], tls: ClientTls | None, find_host: FindHost, gate: Gate
    ) -> None:
        self._where = where
        self._host, self._port = host, _ = address
        self._gate = gate
        self._find_host = find_host
        self._addresses: Watch[Addr] | None = None
        self._stop_observing: Callable[[], None] = lambda: None
        self._credentials = None if tls is None else credentials_for(tls)
        self._name = host if tls is None else tls.dns_name or host
        self._known = Event()

    def dial(self) -> socket.socket:
        """A connected socket. To be called within a deadline."""
        ips = self._find()
        refused: OSError | None = None
        for ip in ips:
            try:
                return self._secured(self._connected(ip, HEAD_SECS / len(ips)))
            except OSError as error:  # a failed handshake too
                refused = error
        assert refused is not None
        raise _failed(self._where, refused)

    def _find(self) -> list[str]:
        """The addresses of the host; waits while they are not known."""
        if self._addresses is None:
            self._addresses = self._find_host(self._host)
            self._stop_observing = self._addresses.observe(lambda _: self._known.set())
        while isinstance(addr := self._addresses.value, Pending):
            self._known.clear()
            self._known.wait()
        if isinstance(addr, Bound) and addr.addresses:
            return [address.ip for address in addr.addresses]
        why = addr.cause if isinstance(addr, Failed) else "no such host" if isinstance(addr, Neg) else "no address"
        raise RequestFailed("resolve", f"{self._where}: {why}", of_namerd=True)

    def _connected(self, ip: str, secs: float) -> socket.socket:
        bare, _, zone = ip.partition("%")
        is_v6 = ":" in bare
        sock = _PacedSocket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
        sock.gate = self._gate
        try:
            sock.settimeout(secs)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((bare, self._port, 0, _scope_id(zone)) if is_v6 else (bare, self._port))
            if sock.getsockname() == sock.getpeername():
                # A port of the ephemeral range where nobody listens may be given to the very socket that dials it.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return sock

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._credentials is None:
            return sock
        try:
            context = self._credentials.context()
            # Not at once: whatever ends the handshake, a kill of the greenlet too, is to close the socket.
            sock = tls = context.wrap_socket(sock, server_hostname=self._name, do_handshake_on_connect=False)
            tls.do_handshake()
        except BaseException as error:
            sock.close()
            if isinstance(error, KeyFileError) or (isinstance(error, ValueError) and not isinstance(error, OSError)):
                raise RequestFailed("tls", f"{self._where}: TLS: {error}", of_namerd=True) from None
            raise
        return sock

    def close(self) -> None:
        if self._addresses is not None:
            self._stop_observing()
            self._addresses.close()
            self._addresses = None


def _scope_id(zone: str) -> int:
    return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None and password is None:
        return {}
    both = f"{unquote(user or '')}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {b64encode(both).decode()}"}


def _failed(where: str, error: BaseException, otherwise: str = "reset") -> RequestFailed:
    """What `error`, perhaps wrapped several times, says; `otherwise` is the cause of an end that came too early."""
    found = _innermost(error)
    if isinstance(found, ssl.SSLError):
        return RequestFailed("tls", f"{where}: TLS: {_reason(found)}", of_namerd=True)
    if isinstance(found, TimeoutError):
        return RequestFailed("timeout", f"{where}: no connection in time", of_namerd=True)
    if isinstance(found, OSError) and not isinstance(found, ConnectionError | HTTPException):
        text = os.strerror(found.errno) if found.errno else str(found)
        return RequestFailed(_REFUSALS.get(found.errno or 0, "unreachable"), f"{where}: {text}", of_namerd=True)
    if isinstance(found, ConnectionRefusedError):
        return RequestFailed("refused", f"{where}: connection refused", of_namerd=True)
    if isinstance(found, ConnectionError):
        when = "within an answer" if otherwise == "cut" else "without an answer"
        return RequestFailed(otherwise, f"{where}: the connection was closed {when}", of_namerd=True)
    if type(found).__name__ == "IncompleteRead":
        return RequestFailed("cut", f"{where}: the connection was closed within an answer", of_namerd=True)
    return RequestFailed("protocol", f"{where}: no HTTP: {shown(str(found).encode())}", of_namerd=True)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()


def _innermost(error: BaseException) -> BaseException:
    """The error that requests and urllib3 have wrapped."""
    for _ in range(8):
        inner = next((each for each in error.args if isinstance(each, BaseException)), None) or error.__cause__
        if inner is None:
            break
        error = inner
    return error

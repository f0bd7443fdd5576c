"""One request to namerd: sent with `requests`, over a connection of its own, its answer read as it comes.

Neither proxy variables nor netrc nor cookies nor redirects: what is in the configuration is who is asked. Every wait is
an ordinary one of gevent: it may be ended by killing the greenlet, and nothing stays open then.
"""

from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import gevent
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from linkerd_tcp import __version__
from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.namerd.dial import Dialler, FindHost
from linkerd_tcp.namerd.failures import RequestFailed, failed
from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.namerd.response import InTurns
from linkerd_tcp.wire.json_documents import shown

READ_BYTES: Final = 64 * 1024
ERROR_BODY_SECS: Final = 1.0
"""For the words of an answer that is no good one: they may never come."""

MAX_TARGET_BYTES: Final = 64 * 1024


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
        self._dialler = Dialler(self.shown, (host, port), tls, find_host, gate)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(_Pool(self._dialler, host))
        self._session.mount("http://", adapter)
        self._prepared = requests.Request("GET", "http://namerd/", headers=self._headers).prepare()

    def target(self, endpoint: str, query: Mapping[str, str]) -> str:
        """What is asked for: GET /api/1/<endpoint>/<namespace>?<query>."""
        return self._target(f"{endpoint}/{self._namespace}", query)

    def target_of_namers(self, endpoint: str, query: Mapping[str, str]) -> str:
        """The same of no namespace: GET /api/1/<endpoint>?<query>."""
        return self._target(endpoint, query)

    def _target(self, place: str, query: Mapping[str, str]) -> str:
        return f"{self._root}{place}?{urlencode(query, quote_via=quote, safe='/')}"

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
                raise failed(self.shown, error) from None
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
            raise failed(self._where, error, "cut") from None
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
    def __init__(self, dialler: "Dialler", host: str) -> None:
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

    def __init__(self, dialler: "Dialler", host: str) -> None:
        self._dialler = dialler
        super().__init__(host)

    def connect(self) -> None:
        self.sock = self._dialler.dial()


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None and password is None:
        return {}
    both = f"{unquote(user or '')}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {b64encode(both).decode()}"}

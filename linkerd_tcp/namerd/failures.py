"""What goes wrong with a request to namerd: a short list of causes to count it under, and words."""

import errno
import os
import ssl
from http.client import HTTPException
from typing import Final

from linkerd_tcp.errors import LinkerdTcpError
from linkerd_tcp.wire.json_documents import shown
from linkerd_tcp.wire.parsing import WireError

_REFUSALS: Final = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ETIMEDOUT: "timeout"}


class RequestFailed(LinkerdTcpError):
    """A request without a good answer; counted under `cause`. The text has no user and password of the address.

    `of_namerd`: it says something of namerd as a whole, not of the name that was asked for.
    """

    def __init__(self, cause: str, words: str, *, of_namerd: bool = False) -> None:
        super().__init__(words)
        self.cause = cause
        self.of_namerd = of_namerd


def failed(where: str, error: BaseException, otherwise: str = "reset") -> RequestFailed:
    """What `error`, perhaps wrapped several times, says; `otherwise` is the cause of an end that came too early."""
    found = _innermost(error)
    if isinstance(found, ssl.SSLError) and not isinstance(found, ssl.SSLEOFError):
        return RequestFailed("tls", f"{where}: TLS: {_reason(found)}", of_namerd=True)
    if isinstance(found, TimeoutError):
        return RequestFailed("timeout", f"{where}: no connection in time", of_namerd=True)
    if isinstance(found, OSError) and not isinstance(found, ConnectionError | HTTPException | ssl.SSLEOFError):
        text = os.strerror(found.errno) if found.errno else str(found)
        return RequestFailed(_REFUSALS.get(found.errno or 0, "unreachable"), f"{where}: {text}", of_namerd=True)
    if isinstance(found, ConnectionRefusedError):
        return RequestFailed("refused", f"{where}: connection refused", of_namerd=True)
    if isinstance(found, ConnectionError | ssl.SSLEOFError):
        when = "within an answer" if otherwise == "cut" else "without an answer"
        return RequestFailed(otherwise, f"{where}: the connection was closed {when}", of_namerd=True)
    if type(found).__name__ == "IncompleteRead":
        return RequestFailed("cut", f"{where}: the connection was closed within an answer", of_namerd=True)
    return RequestFailed("protocol", f"{where}: no HTTP: {shown(str(found).encode())}", of_namerd=True)


def misread(where: str, error: WireError) -> str:
    """What an answer of `where` is that cannot be used.

    A line that is no JSON is how namerd says what went wrong: then it is its words that matter, not where they stood.
    """
    if error.expected == "JSON":
        return f"{where} sent words instead of JSON: {error.found}"
    return f"{where}: {error}"


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message.rstrip('.')}"
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS (wrong version number)"
    return (error.reason or str(error)).replace("_", " ").lower()


def _innermost(error: BaseException) -> BaseException:
    """The error that requests and urllib3 have wrapped."""
    for _ in range(8):
        inner = next((each for each in error.args if isinstance(each, BaseException)), None) or error.__cause__
        if inner is None:
            break
        error = inner
    return error

"""Why a TLS handshake with an endpoint failed, in words that hold both names, the date or the issuer."""

import _ssl
import ssl
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from linkerd_tcp.connectors.connector import ConnectFailed
from linkerd_tcp.errors import Cause
from linkerd_tcp.net.certs import Cert, sans
from linkerd_tcp.net.pem import KeyFileError
from linkerd_tcp.net.tls import TlsCause, cause_of

MAX_NAMES_SHOWN: Final = 5

_SELF_SIGNED: Final = 18
"""X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT of openssl/x509_vfy.h."""

_SELF_SIGNED_IN_CHAIN: Final = 19

_WORDS: Final = {
    TlsCause.UNKNOWN_CA: "it does not trust the authority of our client certificate",
    TlsCause.EXPIRED: "it says that our client certificate has expired",
    TlsCause.VERSION: "it speaks neither TLS 1.2 nor TLS 1.3",
    TlsCause.NO_SHARED_CIPHER: "it takes none of our ciphers, groups and signatures, or wants a client certificate",
    TlsCause.PLAINTEXT: "what it answered is not TLS: is it a port for plain text?",
    TlsCause.NO_CERTIFICATE: "it wants a client certificate (clientAuth)",
    TlsCause.OTHER: "the handshake failed",
}
"""Of what the endpoint says; what is wrong with its own certificate is told from the certificate."""


class TlsFailed(ConnectFailed):
    """The handshake with an endpoint failed; the cause of the attempt is `tls`, `reason` is the handshake's own."""

    def __init__(self, reason: TlsCause, message: str) -> None:
        super().__init__(Cause.TLS, message)
        self.reason = reason


def handshake_failed(text: str, error: OSError, tls: ssl.SSLObject, name: str | None) -> ConnectFailed:
    """What to raise when the handshake with the endpoint `text`, known as `name`, ended with `error`."""
    if isinstance(error, TimeoutError):
        return ConnectFailed(Cause.TIMEOUT, f"{text}: connected, but the TLS handshake did not end in time")
    if not isinstance(error, ssl.SSLError):
        what = f"{error.strerror} in" if error.errno else "it ended the connection during"
        return TlsFailed(TlsCause.OTHER, f"{text}: TLS: other: {what} the handshake: is it a port for plain text?")
    reason = cause_of(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        words, detail = _of_certificate(reason, error.verify_code, tls, name), error.verify_message
    else:
        words, detail = _WORDS.get(reason) or f"it has no certificate for {name}", error.reason
    return TlsFailed(reason, f"{text}: TLS: {reason}: {words} ({detail or error})")


def _of_certificate(reason: TlsCause, code: int, tls: ssl.SSLObject, name: str | None) -> str:
    chain = _shown(tls)
    if not chain:
        return f"the certificate that it showed for {name} was refused"
    if reason is TlsCause.NAME_MISMATCH:
        return f"its certificate is for {_names(chain[0])}, and not for {name}"
    if reason is TlsCause.EXPIRED:
        return _dates(chain)
    if reason is TlsCause.UNKNOWN_CA:
        if code == _SELF_SIGNED:
            return f"its certificate {_said(chain[0].subject)} signs itself, and is not trusted here"
        last = chain[-1]
        issuer = last.subject if code == _SELF_SIGNED_IN_CHAIN else last.issuer
        return f"its certificate {_said(chain[0].subject)} comes from {_said(issuer)}, which is not trusted here"
    return f"its certificate {_said(chain[0].subject)} was refused"


def _dates(chain: list[x509.Certificate]) -> str:
    now = datetime.now(UTC)
    for cert in chain:
        if cert.not_valid_after_utc < now:
            return f"its certificate {_said(cert.subject)} expired on {cert.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
        if cert.not_valid_before_utc > now:
            begin = cert.not_valid_before_utc
            return f"its certificate {_said(cert.subject)} is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC"
    return "a certificate in its chain has expired or is not valid yet"


def _names(cert: x509.Certificate) -> str:
    try:
        names = sans(Cert("endpoint", b"", cert, ""))
    except KeyFileError:
        return "names that cannot be read"
    if not names:
        return f"no name at all (its subject {_said(cert.subject)} does not count)"
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _said(name: x509.Name) -> str:
    """A stranger's text in one line."""
    text = name.rfc4514_string()[:200] or "without a subject"
    return "".join(char if char.isprintable() else "?" for char in text)


def _shown(tls: Any) -> list[x509.Certificate]:
    """What the endpoint sent, the leaf first; empty where this Python or OpenSSL does not tell after a failure."""
    try:
        if hasattr(tls, "get_unverified_chain"):  # from Python 3.13 on
            ders = list(tls.get_unverified_chain())
        else:
            encoding: Any = _ssl
            ders = [cert.public_bytes(encoding.ENCODING_DER) for cert in tls._sslobj.get_unverified_chain() or ()]
        return [x509.load_der_x509_certificate(der) for der in ders]
    except (AttributeError, TypeError, ValueError):
        return []

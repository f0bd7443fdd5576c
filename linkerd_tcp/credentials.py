"""What TLS to others, as their client, is made with: whom to trust, what to show. Read anew when files change."""

import logging
import os
import ssl
from datetime import UTC, datetime
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.net.certs import check_dates, read_certs
from linkerd_tcp.net.keys import load_identity, load_into
from linkerd_tcp.net.pem import KeyFileError

LOOK_SECS: Final = 1.0
"""How often the files are looked at, at most, and only where there are connections to be made."""

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int] | None


class Credentials:
    """The context of handshakes with endpoints; made anew when a file of it changes, the last good one else.

    Building one reads no file and raises nothing.
    """

    __slots__ = ("__weakref__", "_context", "_look_at", "_problem", "_seen", "_settings")

    def __init__(self, settings: ClientTls) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._problem = ""
        self._seen: list[_Stamp] | None = None
        self._look_at = 0.0

    def context(self) -> ssl.SSLContext:
        """The one to use now; KeyFileError while there never was a good one. May read files: a few ms."""
        now = monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECS
            stamps = [_stamp(file) for file in files_of(self._settings)]
            if stamps != self._seen:
                self._seen = stamps
                self._load()
        if self._context is None:
            raise KeyFileError(self._problem)
        return self._context

    def _load(self) -> None:
        renewed = self._context is not None
        warnings: list[str] = []
        try:
            self._context = build_context(self._settings, warnings)
        except KeyFileError as error:
            self._problem = str(error)
            then = ": the one before is used on" if renewed else ""
            _log.error("TLS to endpoints: %s%s", error, then)
            return
        for warning in warnings:
            _log.warning("TLS to endpoints: %s", warning)
        if renewed:
            _log.info("TLS to endpoints: renewed: %s", ", ".join(files_of(self._settings)))


_shared: WeakValueDictionary[ClientTls, Credentials] = WeakValueDictionary()
"""As long as a connector uses them: with a captured dnsName there may be thousands of balancers, and the system's
authorities alone are megabytes."""


def credentials_for(settings: ClientTls) -> Credentials:
    """Those of these settings, whatever the name."""
    nameless = settings.model_copy(update={"dns_name": None})
    credentials = _shared.get(nameless)
    if credentials is None:
        credentials = _shared[nameless] = Credentials(nameless)
    return credentials


def build_context(settings: ClientTls, warnings: list[str]) -> ssl.SSLContext:
    """Read all files; KeyFileError that names the file. `warnings` gets sentences about what still works."""
    context = _unverified() if settings.disable_validation else _verifying(settings, warnings)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.alpn_protocols:
        try:
            context.set_alpn_protocols(list(settings.alpn_protocols))
        except (ValueError, ssl.SSLError) as error:
            raise KeyFileError(f"alpnProtocols: {error}") from None
    auth = settings.client_auth
    if auth is not None:
        password_file = None if auth.password_file is None else str(auth.password_file)
        identity = load_identity(str(auth.private_key), [str(cert) for cert in auth.certs], password_file)
        warnings += identity.warnings
        load_into(context, identity)
    return context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verifying(settings: ClientTls, warnings: list[str]) -> ssl.SSLContext:
    if not settings.trust_certs:
        return _by_alternative_names(ssl.create_default_context())
    certs = read_certs([str(file) for file in settings.trust_certs], warnings)
    check_dates(certs, datetime.now(UTC), warnings)
    try:
        context = ssl.create_default_context(cadata=b"".join(each.pem for each in certs).decode("ascii"))
    except ssl.SSLError as error:
        raise KeyFileError(f"{settings.trust_certs[0]}: OpenSSL refuses a certificate: {error.reason}") from None
    # Whoever is named in trustCerts is trusted, an intermediate authority or one server's own certificate too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _by_alternative_names(context)


def _by_alternative_names(context: ssl.SSLContext) -> ssl.SSLContext:
    """A common name is no name of a server (RFC 9525, section 2); OpenSSL takes it where there is no other."""
    context.hostname_checks_common_name = False
    return context


def files_of(settings: ClientTls) -> list[str]:
    """Every file that these settings name and use."""
    auth = settings.client_auth
    trusted = () if settings.disable_validation else settings.trust_certs
    shown = () if auth is None else (*auth.certs, auth.private_key, auth.password_file)
    return [str(file) for file in (*trusted, *shown) if file is not None]


def _stamp(file: str) -> _Stamp:
    """What changes when a file is written, replaced or made readable; None if it is not there."""
    try:
        info = os.stat(file)
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino

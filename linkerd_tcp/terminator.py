"""TLS where it ends here: an identity for each name asked for, renewed when its files are, and the handshake."""

import _ssl
import logging
import os
import ssl
from _socket import socket as Socket
from functools import lru_cache
from typing import Any, Final, NamedTuple

import gevent
import gevent.socket

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.tls import ServerTls
from linkerd_tcp.envelope import PeerCertificate
from linkerd_tcp.errors import Cause, ConfigError, ConnectionFailed
from linkerd_tcp.net.certs import read_certs
from linkerd_tcp.net.keys import Identity, load_identity, load_into
from linkerd_tcp.net.pem import KeyFileError
from linkerd_tcp.net.tls import HandshakeFailed, TlsCause, TlsEnd, cause_of
from linkerd_tcp.wire.client_hello import read_server_name
from linkerd_tcp.wire.parsing import WireError

DEFAULT: Final = "*"
"""The default identity's name in metrics and messages; no server name is like it."""

WATCH_SECS: Final = 0.5
"""How often the files are looked at: a renewed certificate serves within a second."""

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_MODES: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

_log = logging.getLogger(__name__)


class Agreed(NamedTuple):
    """A finished handshake: the stream, and what the client asked for or proved."""

    end: TlsEnd
    server_name: str | None
    alpn: str | None
    peer: PeerCertificate | None
    cipher: tuple[str, str] | None
    """Version and cipher."""


class Terminator:
    """The identities of one server. Building one raises ConfigError that names the file; `close` ends the watching.

    A broken renewal keeps what was good, and is said once for each change of the files.
    """

    def __init__(self, config: ServerTls) -> None:
        self.config = config
        self._configs = {} if config.default_identity is None else {DEFAULT: config.default_identity}
        self._configs |= {name.lower().removesuffix("."): each for name, each in config.identities.items()}
        self._asks_for_certificates = config.client_auth is not None
        self._seen = self._stamps()
        self.identities: dict[str, Identity] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._base: ssl.SSLContext
        try:
            self._load()
        except (KeyFileError, ssl.SSLError, OSError) as error:
            raise ConfigError([str(error)]) from error
        self._watcher = gevent.spawn(self._watch)

    def close(self) -> None:
        self._watcher.kill(block=False)

    def accept(self, client: Socket, until: float) -> Agreed:
        """Shake hands, by `until` (time.monotonic seconds); HandshakeFailed or ConnectionFailed in words."""
        end = TlsEnd(client, self._base, server_side=True)
        try:
            end.handshake(until)
        except TimeoutError:
            raise HandshakeFailed(TlsCause.OTHER, "the client did not finish the TLS handshake in time") from None
        except ssl.SSLError as error:
            reason = cause_of(error)
            raise HandshakeFailed(reason, f"TLS handshake with the client failed: {self.in_words(error)}") from None
        except OSError as error:
            raise ConnectionFailed(Cause.RESET, f"client: {error.strerror or error}, in the TLS handshake") from None
        tls = end.tls
        peer = _peer(tls) if self._asks_for_certificates else None
        return Agreed(end, getattr(tls, "asked_for", None), tls.selected_alpn_protocol(), peer, _cipher(tls))

    def wrap(self, sock: gevent.socket.socket) -> Any:
        """gevent's kind of TLS socket, the handshake still to be made: for a server that waits where it reads."""
        return self._base.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    @staticmethod
    def in_words(error: ssl.SSLError) -> str:
        """Why a handshake failed, for an operator."""
        said = getattr(error, "verify_message", None) or error.reason or error.strerror
        words = _WORDS.get(cause_of(error))
        return f"{words} ({said})" if words else str(said)

    def _load(self) -> None:
        """Read everything and switch to it, or raise and have changed nothing."""
        identities = {
            name: load_identity(
                str(each.private_key),
                [str(cert) for cert in each.certs],
                None if each.password_file is None else str(each.password_file),
            )
            for name, each in self._configs.items()
        }
        contexts = {name: self._context(identity) for name, identity in identities.items()}
        base = contexts.get(DEFAULT) or self._context(None)
        # Not `base.sni_callback = ...`: gevent's setter wants a socket and gets the object of memory BIOs.
        callback: Any = _ssl._SSLContext.sni_callback
        callback.__set__(base, self._choose)
        for identity in identities.values():
            for warning in identity.warnings:
                _log.warning("%s", warning)
        self.identities, self._contexts, self._base = identities, contexts, base

    def _context(self, identity: Identity | None) -> ssl.SSLContext:
        config = self.config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[config.min_version]
        context.num_tickets = 1  # OpenSSL makes two, at a tenth of a handshake each
        if config.ciphers:
            ciphers = ":".join(config.ciphers)
            try:
                context.set_ciphers(ciphers)
            except (ValueError, ssl.SSLError):  # whose words name nothing
                raise KeyFileError(f"ciphers: this system's OpenSSL has none of {ciphers} for TLS 1.2") from None
        if config.alpn_protocols:
            try:
                context.set_alpn_protocols(list(config.alpn_protocols))
            except (ValueError, ssl.SSLError) as error:
                raise KeyFileError(f"alpnProtocols: {error}") from None
        if config.client_auth is not None:
            context.verify_mode = _MODES[config.client_auth.mode]
            if files := [str(file) for file in config.client_auth.trust_certs]:
                # Not by `ssl`, which names no file.
                trusted = b"".join(cert.pem for cert in read_certs(files, []))
                context.load_verify_locations(cadata=trusted.decode("ascii"))
        if identity is not None:
            load_into(context, identity)
        return context

    def _choose(self, tls: Any, asked: bytes | str | None, _context: Any) -> int | None:
        """OpenSSL's question which identity fits; the alert that it sends where none does (RFC 6066, section 3)."""
        name = _normal(asked)
        # gevent's TLS socket shows OpenSSL its C socket, which knows nothing of contexts.
        tls = tls._sslsock() if hasattr(tls, "_sslsock") else tls
        tls.asked_for = name
        context = self._contexts.get(name or "") or self._contexts.get(_wildcard(name)) or self._contexts.get(DEFAULT)
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if context is not self._base:
            tls.context = context  # copies all of an identity, so not without need
        return None

    def _watch(self) -> None:
        while True:
            gevent.sleep(WATCH_SECS)
            stamps = self._stamps()
            if stamps == self._seen:
                continue
            self._seen = stamps
            try:
                self._load()
            except (KeyFileError, ssl.SSLError, OSError) as error:
                _log.error("the renewed certificate is not used, the one before is: %s", error)
            else:
                _log.info("certificates renewed: %s", ", ".join(sorted(self.identities)))

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        files = [
            file for each in self._configs.values() for file in (each.private_key, *each.certs, each.password_file)
        ]
        trusted = () if self.config.client_auth is None else self.config.client_auth.trust_certs
        return [_stamp(str(file)) for file in (*files, *trusted) if file is not None]


def problems_of(config: AppConfig) -> list[str]:
    """A line for each server, and for admin, whose keys and certificates cannot be used, with its place in the file."""
    problems = [] if config.admin.tls is None else _problem(config, ("admin", "tls"), config.admin.tls)
    for r, router in enumerate(config.routers):
        for s, server in enumerate(router.servers):
            if server.tls is not None:
                problems += _problem(config, ("routers", r, "servers", s, "tls"), server.tls)
    return problems


def _problem(config: AppConfig, place: tuple[str | int, ...], tls: ServerTls) -> list[str]:
    try:
        Terminator(tls).close()
    except ConfigError as error:
        return [config.place_of(place, str(error))]
    return []


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        info = os.stat(file)
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino


@lru_cache(maxsize=512)  # the names of a server are few, mostly, and who asks for others only pays for them
def _normal(asked: bytes | str | None) -> str | None:
    if asked is None:
        return None
    try:
        return read_server_name(asked.encode("ascii", "replace") if isinstance(asked, str) else asked)
    except WireError:
        return None


def _wildcard(name: str | None) -> str:
    """`*.example.com` for `www.example.com`: it stands for one label."""
    return "*" + name[name.find(".") :] if name and "." in name else ""


def _cipher(tls: ssl.SSLObject) -> tuple[str, str] | None:
    version, cipher = tls.version(), tls.cipher()
    return None if version is None or cipher is None else (version, cipher[0])


def _peer(tls: ssl.SSLObject) -> PeerCertificate | None:
    shown = tls.getpeercert()
    if not shown:
        return None
    parts: Any = shown.get("subject", ())
    subject = {key: value for part in parts for key, value in part}
    names: Any = shown.get("subjectAltName", ())
    return PeerCertificate(
        subject.get("commonName"),
        tuple(value for kind, value in names if kind == "DNS"),
        tuple(value for kind, value in names if kind == "URI"),
    )


_WORDS: Final = {
    TlsCause.UNKNOWN_CA: "its certificate is signed by nobody in clientAuth.trustCerts, or it does not trust ours",
    TlsCause.EXPIRED: "a certificate has expired or is not valid yet",
    TlsCause.VERSION: "it speaks no TLS version that is allowed here (minVersion)",
    TlsCause.NO_SHARED_CIPHER: "no cipher that both sides allow",
    TlsCause.PLAINTEXT: "it does not speak TLS",
    TlsCause.UNRECOGNIZED_NAME: "it asks for a name that has no identity here, and there is no defaultIdentity",
    TlsCause.NO_CERTIFICATE: "it showed no certificate, and clientAuth.mode is required",
}

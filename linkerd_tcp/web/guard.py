"""Who may ask what: the Host, Origin and token rules of our HTTP servers.

A page elsewhere can make a browser send requests here (and, by DNS rebinding, even read the answers), so a request is
answered only if it was meant for this machine's name, and one that changes something only if it comes from our own
page or from no browser at all. Nor may it make a browser load what is costly here, or hold streams open.
"""

import secrets
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

TOKEN_HEADER: Final = "X-L5d-Token"
TOKEN_FIELD: Final = "token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBED: Final = frozenset({"/metrics", "/ping", "/live", "/ready"})
PROBES: Final = _PROBED | {"/admin" + path for path in _PROBED} | {"/admin/metrics/prometheus"}
"""Scrapers and probes reach these by whatever name; nothing in them is secret, nothing is changed by them."""

_BROWSER_SIGNS: Final = ("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_COOKIE")


class Guard:
    """The rules, with the names that this machine may be called by."""

    def __init__(
        self,
        allowed_hosts: Iterable[str] = (),
        any_host: frozenset[str] = frozenset(),
        key: str = "admin.allowedHosts",
    ) -> None:
        self._key = key
        """Where the configuration has `allowed_hosts`."""
        self.is_secure = False
        """Whether TLS is spoken here: then nothing of ours was ever read by plain HTTP."""
        self._any_host = any_host
        """Paths that are answered whatever this machine is called."""
        self.token = secrets.token_urlsafe(32)
        """New in each process; our page has it and no other page can read it."""
        self.allow(allowed_hosts)

    def allow(self, hosts: Iterable[str]) -> None:
        """Answer to `hosts` besides IP literals, localhost and this machine's name."""
        name = socket.gethostname().lower()
        self._names = {"localhost", name, name.partition(".")[0], *(_name(host) or host.lower() for host in hosts)}

    def refusal(self, environ: Mapping[str, Any]) -> str | None:
        """Why this request is refused, and what to do; None if host and origin are right. The token comes later."""
        host = environ.get("HTTP_HOST", "")
        if environ["PATH_INFO"] not in self._any_host and not self._is_ours(host):
            return self._wrong_host(host)
        if environ["REQUEST_METHOD"] in SAFE_METHODS:
            return NO_PART_OF_OTHERS if _is_part_of_another_page(environ) else None
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_our_origin(origin, host):
            return (
                f"Origin {origin[:200]!r} is not this server ({host[:200]!r}): pages of others may change nothing here."
            )
        return None

    def _is_our_origin(self, origin: str, host: str) -> bool:
        """A proxy before us may end TLS, but where it ends here, no page that came by plain HTTP is ours."""
        try:
            split = urlsplit(origin)
        except ValueError:
            return False
        schemes = ("https",) if self.is_secure else ("http", "https")
        return split.scheme in schemes and split.netloc.lower() == host.lower()

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        if name is None:
            return False
        try:
            address = ip_address(name)
        except ValueError:
            return name in self._names
        # A zone says which interface to leave by, and may be any text.
        zone = getattr(address, "scope_id", None)
        return zone is None or bool(zone.isalnum())

    def _wrong_host(self, host: str) -> str:
        if not host:
            return "The request has no Host header; send the name or address of this server."
        return (
            f"This server was asked for as {host[:200]!r}, which is not allowed. Use its IP address or localhost, or "
            f"add the name under {self._key} in the configuration."
        )

    def needs_token(self, environ: Mapping[str, Any]) -> bool:
        """Whether a browser sends this and it may change something."""
        return environ["REQUEST_METHOD"] not in SAFE_METHODS and any(sign in environ for sign in _BROWSER_SIGNS)

    def is_token(self, text: str | None) -> bool:
        return text is not None and secrets.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


NO_TOKEN: Final = (
    f"A browser must send the token of this server's page, as the header {TOKEN_HEADER} or the form field "
    f"{TOKEN_FIELD!r}: reload the page. Other clients need none, without Origin, Sec-Fetch-Site and Cookie."
)


NO_PART_OF_OTHERS: Final = (
    "A page of another server asks for this as a part of its own (Sec-Fetch-Site): it may only link to it."
)


def _is_part_of_another_page(environ: Mapping[str, Any]) -> bool:
    """Whether a browser loads this for somebody else's page, in which it could not be read anyway."""
    site, mode = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_SEC_FETCH_MODE")
    if site not in ("cross-site", "same-site") or mode is None:
        return False
    return not (mode == "navigate" and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document")


def _name(host: str) -> str | None:
    """The lower-case name or address in a Host header; None if it is none."""
    try:
        split = urlsplit("//" + host)
        split.port  # noqa: B018 - ValueError where it is no port
    except ValueError:
        return None
    if split.hostname is None or split.netloc != host or split.username is not None:
        return None
    return split.hostname.removesuffix(".")

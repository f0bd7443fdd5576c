"""Certificates read from PEM files: their order, their dates, whom they are for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from linkerd_tcp.net.pem import CERT_LABELS, HINTS, KEY_LABELS, Block, KeyFileError, read_blocks, what_is_found


@dataclass(frozen=True, slots=True)
class Cert:
    """A certificate and where it was found."""

    where: str
    pem: bytes
    cert: x509.Certificate
    subject: str

    def __str__(self) -> str:
        return f"{self.where} ({self.subject})"


def read_certs(paths: Sequence[str], warnings: list[str]) -> list[Cert]:
    """All of them in order, each once; KeyFileError. What else is in the files is no concern of this function."""
    found: dict[bytes, Cert] = {}
    for path in paths:
        blocks = read_blocks(path, "a certificate (CERTIFICATE)")
        certs = [_read_cert(block) for block in blocks if block.label in CERT_LABELS]
        if not certs:
            raise KeyFileError(f"{path}: no certificate: {what_is_found(blocks)}; expected CERTIFICATE")
        for each in certs:
            found.setdefault(each.cert.public_bytes(Encoding.DER), each)
        warnings += [
            f"{block.where}: the {block.label} is of no use here, {HINTS[block.label]}"
            for block in blocks
            if block.label in HINTS and block.label not in (*KEY_LABELS, *CERT_LABELS)
        ]
    return list(found.values())


def _read_cert(block: Block) -> Cert:
    try:
        with catch_warnings():
            # Of serial numbers that are not positive, which old authorities have, in every system's bundle.
            simplefilter("ignore", CryptographyDeprecationWarning)
            cert = x509.load_pem_x509_certificate(block.pem)
        subject = _printable(cert.subject.rfc4514_string())
    except ValueError:
        raise KeyFileError(f"{block.where}: the {block.label} cannot be read: it is damaged") from None
    return Cert(block.where, cert.public_bytes(Encoding.PEM), cert, subject or "no subject")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def sans(leaf: Cert) -> tuple[str, ...]:
    """The names it is for, as OpenSSL prints them; those of other types are left out. KeyFileError if unreadable."""
    try:
        names = leaf.cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise KeyFileError(f"{leaf}: the extensions of the certificate cannot be read") from None
    found = []
    for name in names:
        for kind, prefix in (
            (x509.DNSName, "DNS"),
            (x509.IPAddress, "IP"),
            (x509.UniformResourceIdentifier, "URI"),
            (x509.RFC822Name, "email"),
        ):
            if isinstance(name, kind):
                found.append(f"{prefix}:{_printable(str(name.value))}")
    return tuple(found)


def spki(cert: x509.Certificate) -> bytes | None:
    """The public key as bytes that can be compared; None of a kind unknown here."""
    try:
        return cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def kind_of(public_key: object) -> str:
    """As `RSA 2048`, `EC secp256r1`, `Ed25519`; of None, a key that cannot be read, words."""
    if public_key is None:
        return "one of an unknown kind"
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA {public_key.key_size}"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return f"EC {public_key.curve.name}"
    return type(public_key).__name__.removesuffix("PublicKey").lstrip("_")


def public_key(cert: x509.Certificate) -> object:
    """None of a kind unknown here."""
    try:
        return cert.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def check_order(certs: list[Cert], warnings: list[str]) -> None:
    """Each certificate behind the leaf issued one before it. KeyFileError where one stands too early.

    One that issued none of all is a warning: servers send such chains, and clients take them.
    RFC 8446 4.4.2 wants the very one before it, but a cross-signed authority stands twice in good chains.
    """
    for at, each in enumerate(certs[1:], 1):
        if any(_issued(each, earlier) for earlier in certs[:at]):
            continue
        later = next((other for other in certs[at + 1 :] if _issued(each, other)), None)
        if later is not None:
            raise KeyFileError(
                f"{each}: the chain is in the wrong order: it issued {later}, which stands behind it; "
                "expected the certificate first, then what issued it, and so on"
            )
        warnings.append(f"{each}: issued none of the certificates before it: it is sent, and of no use")


def _issued(issuer: Cert, cert: Cert) -> bool:
    try:
        cert.cert.verify_directly_issued_by(issuer.cert)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def check_dates(certs: list[Cert], now: datetime, warnings: list[str]) -> None:
    """A warning for each that is expired or not valid yet: the other end may not mind, and a clock may be wrong."""
    for each in certs:
        begin, end = each.cert.not_valid_before_utc, each.cert.not_valid_after_utc
        if end < now:
            warnings.append(f"{each}: expired on {end:%Y-%m-%d %H:%M:%S} UTC, {_ago(now - end)} ago")
        elif begin > now:
            warnings.append(f"{each}: not valid before {begin:%Y-%m-%d %H:%M:%S} UTC, in {_ago(begin - now)}")


def _ago(time: timedelta) -> str:
    for unit, secs in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if (count := int(time.total_seconds() // secs)) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"

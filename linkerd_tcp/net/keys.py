"""A private key with its certificates, read from the files that people have, checked, ready for `ssl`.

`ssl` itself says "KEY_VALUES_MISMATCH" or "PEM lib" and no file's name, so all is read with `cryptography` first.
"""

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from gevent import monkey

from linkerd_tcp.net.certs import Cert, check_dates, check_order, kind_of, public_key, read_certs, sans, spki
from linkerd_tcp.net.pem import KEY_LABELS, Block, KeyFileError, read_blocks, read_file, what_is_found

__all__ = ["Identity", "KeyFileError", "load_identity", "load_into", "ssl_context"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_KEYS_EXPECTED: Final = f"{', '.join(KEY_LABELS[:-1])} or {KEY_LABELS[-1]}"
_KINDS_EXPECTED: Final = "an RSA, EC, Ed25519 or Ed448 key"

_REFUSALS: Final = {
    "EE_KEY_TOO_SMALL": "the key is too small for this system's OpenSSL; RSA needs 2048 bits",
    "CA_KEY_TOO_SMALL": "a key in the chain is too small for this system's OpenSSL; RSA needs 2048 bits",
    "CA_MD_TOO_WEAK": "a certificate is signed with too weak a digest (MD5 or SHA-1) for this system's OpenSSL",
    "KEY_TYPE_MISMATCH": "the key is of another type than the certificate's",
}
"""By the reason that OpenSSL gives; which it gives depends on its security level."""

_native_close = monkey.get_original("os", "close")  # at once; gevent's own may put it off to the loop


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and the certificates that go with it, the leaf first. Checked to belong together."""

    private_key_pem: bytes = field(repr=False)
    """Not encrypted."""
    certs_pem: bytes = field(repr=False)
    key_kind: str
    """As `RSA 2048`, `EC secp256r1`, `Ed25519`."""
    subject: str
    """Of the leaf, RFC 4514."""
    sans: tuple[str, ...]
    """Of the leaf, as OpenSSL prints them: `DNS:www.example.com`, `IP:127.0.0.1`, `URI:...`, `email:...`."""
    not_before: datetime
    not_after: datetime
    """Of the leaf, in UTC."""
    chain: tuple[x509.Certificate, ...] = field(repr=False)
    files: tuple[str, ...]
    """Every file that was read."""
    warnings: tuple[str, ...]
    """Complete sentences, each with its file: expired, not valid yet, of no use."""


def load_identity(
    private_key_file: str,
    cert_files: Sequence[str],
    password_file: str | None = None,
    *,
    now: datetime | None = None,
) -> Identity:
    """Read and check a key (PKCS#1, PKCS#8, SEC1; encrypted or not) and its certificates, the leaf first.

    The same file may be given for both, also as Vault prints it or as JSON. Reads files, so it may block; takes a few
    ms. `now` is what the certificates' dates are held against, in UTC. KeyFileError names the file, what was found in
    it and what was expected.
    """
    warnings: list[str] = []
    key, key_block, key_pem = _read_key(private_key_file, password_file, warnings)
    certs = read_certs(cert_files, warnings)
    leaf = certs[0]
    _check_match(key, key_block, certs)
    check_order(certs, warnings)
    check_dates(certs, now or datetime.now(UTC), warnings)
    return Identity(
        private_key_pem=key_pem,
        certs_pem=b"".join(each.pem for each in certs),
        key_kind=kind_of(key.public_key()),
        subject=leaf.subject,
        sans=sans(leaf),
        not_before=leaf.cert.not_valid_before_utc,
        not_after=leaf.cert.not_valid_after_utc,
        chain=tuple(each.cert for each in certs),
        files=tuple(dict.fromkeys((private_key_file, *cert_files, *((password_file,) if password_file else ())))),
        warnings=tuple(warnings),
    )


# -- the key


def _read_key(path: str, password_file: str | None, warnings: list[str]) -> tuple[PrivateKey, Block, bytes]:
    """The one key of a file, where it was, and its PEM without a password."""
    blocks = read_blocks(path, f"a private key ({_KEYS_EXPECTED})")
    found = [block for block in blocks if block.label in KEY_LABELS]
    if not found:
        raise KeyFileError(f"{path}: no private key: {what_is_found(blocks)}; expected {_KEYS_EXPECTED}")
    if len(found) > 1:
        places = " and ".join(f"{block.label} at {block.where}" for block in found)
        raise KeyFileError(f"{path}: {len(found)} private keys: found {places}; expected one")
    block = found[0]
    password = _read_password(password_file, path) if password_file is not None else None
    if block.is_encrypted and password is None:
        raise KeyFileError(f"{block.where}: the {block.label} is encrypted: expected passwordFile beside it")
    if password is not None and not block.is_encrypted:
        warnings.append(f"{block.where}: the {block.label} is not encrypted: passwordFile is not needed")
        password = None
    key = _open_key(block, password, password_file)
    if not block.is_encrypted:
        return key, block, block.pem  # as it is: a re-written RSA-PSS key would be a plain RSA key
    return key, block, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_password(path: str, key_file: str) -> bytes:
    """The first line, without its end."""
    password = read_file(path).split(b"\n", 1)[0].removesuffix(b"\r")
    if not password:
        raise KeyFileError(f"{path}: the first line is empty: expected the password of {key_file}")
    return password


def _open_key(block: Block, password: bytes | None, password_file: str | None) -> PrivateKey:
    # What the library says is left out of every message: nobody promises that it quotes no key.
    try:
        # The validation left out looks for primes, 30 ms for RSA 2048 and 200 ms for 4096, and the loop stands still.
        # _check_match signs with the key instead, which a damaged one fails.
        key = load_pem_private_key(block.pem, password, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm:
        how = "encrypted in a way" if block.is_encrypted else "of a kind"
        raise KeyFileError(f"{block.where}: the {block.label} is {how} not supported: {_KINDS_EXPECTED}") from None
    except (ValueError, TypeError):
        if password is None:
            raise KeyFileError(f"{block.where}: the {block.label} cannot be read: it is damaged") from None
        raise KeyFileError(
            f"{block.where}: the first line of {password_file} does not open the {block.label}: "
            "the password is wrong, or the key is damaged"
        ) from None
    if not isinstance(key, PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise KeyFileError(f"{block.where}: the {block.label} is a {kind} key: expected {_KINDS_EXPECTED}")
    return key


# -- whether they belong together


def _check_match(key: PrivateKey, block: Block, certs: list[Cert]) -> None:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    first = certs[0]
    if spki(first.cert) == public:
        if not _signs(key):
            raise KeyFileError(f"{block.where}: the {block.label} does not sign what its certificate verifies: damaged")
        return
    for each in certs[1:]:
        if spki(each.cert) == public:
            raise KeyFileError(
                f"{each}: wrong order: this is the certificate of the private key, and {first} stands before it; "
                "expected the certificate first, then what issued it"
            )
    kinds = f"the key is {kind_of(key.public_key())}, the certificate has {kind_of(public_key(first.cert))}"
    raise KeyFileError(
        f"{block.where}: the private key does not match its certificate {first}: {kinds}; expected the key that "
        "the certificate was made for"
    )


def _signs(key: PrivateKey) -> bool:
    """Whether the private half really goes with the public one."""
    text = b"linkerd-tcp"
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(text, ec.ECDSA(hashes.SHA256()))
            key.public_key().verify(signature, text, ec.ECDSA(hashes.SHA256()))
        else:
            key.public_key().verify(key.sign(text), text)
    except (InvalidSignature, ValueError):
        return False
    return True


# -- into ssl


def ssl_context(identity: Identity) -> ssl.SSLContext:
    """A server's context with this identity: TLS 1.2 and 1.3, everything else as OpenSSL has it; KeyFileError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_into(context, identity)
    return context


def load_into(context: ssl.SSLContext, identity: Identity) -> None:
    """Give `context`, a server's or a client's, this identity; KeyFileError where this system's OpenSSL refuses it."""
    try:
        with _as_file(identity.private_key_pem + identity.certs_pem) as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        reason = getattr(error, "reason", None) or str(error)  # only errors that OpenSSL raised have one
        why = _REFUSALS.get(reason, reason)
        raise KeyFileError(f"{identity.files[0]}: OpenSSL refuses the key or its certificates: {why}") from None


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A file that `ssl` can open: in memory where the system has that, else a private one, removed at once."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("identity", os.MFD_CLOEXEC)
        try:
            _write(fd, content)
            path = f"/proc/self/fd/{fd}"
            if os.access(path, os.R_OK):  # not where /proc is not mounted
                yield path
                return
        finally:
            _native_close(fd)
    fd, path = tempfile.mkstemp(suffix=".pem")  # 0600
    try:
        try:
            _write(fd, content)
        finally:
            _native_close(fd)
        yield path
    finally:
        os.unlink(path)


def _write(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]

"""PEM blocks out of files as people have them: CRLF, text around, indented, a printed Vault answer or its JSON."""

import json
import os
import re
import shlex
import stat
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from gevent import monkey

from linkerd_tcp.errors import LinkerdTcpError

MAX_FILE_BYTES: Final = 1 << 20

_MARK: Final = re.compile(r"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 .]*)-----")
_VAULT_FIELDS: Final = ("private_key", "certificate", "ca_chain", "issuing_ca")
"""Of the answer of `vault write pki/issue/...`, in the order of use."""

_VAULT_LINE: Final = re.compile(rf"^\s*({'|'.join(_VAULT_FIELDS)})\s+\[?$")
_PEM_IN_BASE64: Final = b"LS0tLS1CRUdJTi"
_JAVA_KEYSTORE: Final = b"\xfe\xed\xfe\xed"
_PKCS12: Final = re.compile(rb"\x30(?:\x80|[\x00-\x7f]|\x81.|\x82..|\x83...)\x02\x01\x03", re.DOTALL)

_native_close = monkey.get_original("os", "close")  # at once; gevent's own may put it off to the loop

KEY_LABELS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
CERT_LABELS: Final = ("CERTIFICATE", "X509 CERTIFICATE")

HINTS: Final = {
    "CERTIFICATE": "a certificate: was it meant for certs?",
    "CERTIFICATE REQUEST": "a request for a certificate, made from the private key and without it",
    "NEW CERTIFICATE REQUEST": "a request for a certificate, made from the private key and without it",
    "PUBLIC KEY": "the public half of a key: the private one is in another file",
    "RSA PUBLIC KEY": "the public half of a key: the private one is in another file",
    "OPENSSH PRIVATE KEY": "a key in SSH's own format (ssh-keygen -p -m PEM converts it in place, Ed25519 excepted)",
    "DSA PRIVATE KEY": "a DSA key, which TLS 1.2 and 1.3 have no use for",
    "PKCS7": "PKCS#7 (openssl pkcs7 -print_certs converts it)",
    "TRUSTED CERTIFICATE": "OpenSSL's own format (openssl x509 converts it)",
    **dict.fromkeys(KEY_LABELS, "a private key: was it meant for privateKey?"),
}


class KeyFileError(LinkerdTcpError, ValueError):
    """A key, certificate or password file that cannot be used. The text begins with its name and holds no secret."""


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block: lines of 64 characters, LF, nothing around. `where` says file and line, or file and JSON key."""

    label: str
    where: str
    pem: bytes = field(repr=False)
    is_encrypted: bool = False


def read_file(path: str) -> bytes:
    """What a regular file of at most 1 MiB holds; KeyFileError. Opening never waits for a FIFO's writer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise KeyFileError(f"{path}: not a regular file")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        finally:
            _native_close(fd)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path}: larger than {MAX_FILE_BYTES} bytes, too large for PEM")
    return data


def read_blocks(path: str, expected: str) -> list[Block]:
    """The PEM blocks of a file, at least one, each once, in the file's order.

    Of a Vault answer, printed or JSON: key, certificate, chain, in this order. KeyFileError: no PEM in it (of DER: the
    command that converts it; `expected` says what was wanted), a block that does not end.
    """
    data = read_file(path)
    text = _decode(data)
    found = _vault_json(path, text) if text.lstrip().startswith("{") else _vault_order(_scan(path, text))
    if not found:
        raise KeyFileError(f"{path}: {_instead_of_pem(path, data)}: expected {expected} in PEM")
    first: dict[bytes, Block] = {}
    for block in found:
        first.setdefault(block.pem, block)
    return list(first.values())


def what_is_found(blocks: list[Block]) -> str:
    """What a file holds instead of what was expected, with what that means."""
    block = blocks[0]
    others = ", ".join(dict.fromkeys(other.label for other in blocks[1:] if other.label != block.label))
    hint = HINTS.get(block.label)
    return f"found {block.label}" + (f" and {others}" if others else "") + (f", {hint}" if hint else "")


def _decode(data: bytes) -> str:
    """Text of any encoding: what is not PEM in it does not matter. PowerShell's `>` writes UTF-16."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("latin-1")


def _scan(path: str, text: str, key: str = "") -> list[tuple[str, Block]]:
    """Each block of `text` with the word that stands before it in its line (of a printed Vault answer) or `key`."""
    found: list[tuple[str, Block]] = []
    at, line, word = 0, 1, key
    while mark := _MARK.search(text, at):
        line += text.count("\n", at, mark.start())
        where = f"{path}: {key}" if key else f"{path}:{line}"
        kind, label = mark.groups()
        end = _MARK.search(text, mark.end())
        if kind != "BEGIN":
            raise KeyFileError(f"{where}: END {label} without its BEGIN {label}")
        if end is None or end.groups() != ("END", label):
            raise KeyFileError(f"{where}: BEGIN {label} without its END {label}: is the file cut off?")
        before = text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()]
        if not key and not before.startswith("-----END "):  # a list has several in one line
            vault = _VAULT_LINE.match(before)
            word = vault[1] if vault else ""
        found.append((word, _block(label, where, text[mark.end() : end.start()])))
        line += text.count("\n", mark.start(), end.end())
        at = end.end()
    return found


def _block(label: str, where: str, inside: str) -> Block:
    """Header lines (RFC 1421, only old encrypted keys have them), then base64, put in shape but not looked into."""
    lines = [line.strip() for line in inside.splitlines()]
    headers = [line for line in lines if ":" in line]
    base64 = "".join(line for line in lines if ":" not in line).replace(" ", "")
    wrapped = [base64[start : start + 64] for start in range(0, len(base64), 64)]
    top = [*headers, ""] if headers else []
    pem = "\n".join([f"-----BEGIN {label}-----", *top, *wrapped, f"-----END {label}-----", ""])
    encrypted = label == "ENCRYPTED PRIVATE KEY" or any("ENCRYPTED" in header for header in headers)
    return Block(label, where, pem.encode("ascii", "replace"), encrypted)


def _vault_order(found: list[tuple[str, Block]]) -> list[Block]:
    """A printed Vault answer is in alphabetical order: authorities first."""
    if any(word for word, _ in found):
        found = sorted(found, key=lambda pair: (*_VAULT_FIELDS, "").index(pair[0]))
    return [block for _, block in found]


def _vault_json(path: str, text: str) -> list[Block]:
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyFileError(f"{path}: begins as JSON does but is none: is the file cut off?") from None
    inner = answer.get("data")
    top, data = ("data.", inner) if isinstance(inner, dict) else ("", answer)
    found: list[Block] = []
    for name in _VAULT_FIELDS:
        value = data.get(name) or []
        for item in value if isinstance(value, list) else [value]:
            blocks = [block for _, block in _scan(path, str(item), top + name)]
            if not blocks:
                raise KeyFileError(f"{path}: {top}{name} holds no PEM: ask Vault for format=pem")
            found += blocks
    if not found:
        raise KeyFileError(f"{path}: JSON without private_key and certificate: not what vault write pki/issue gives")
    return found


def _instead_of_pem(path: str, data: bytes) -> str:
    """What a file without PEM is, and how to make PEM of it."""
    if not data.strip():
        return "empty"
    if data.startswith(_JAVA_KEYSTORE):
        return "a Java keystore (keytool -importkeystore -deststoretype pkcs12 makes a PKCS#12 file of it)"
    if data.lstrip().startswith(_PEM_IN_BASE64):
        return "PEM in base64 once more, as Kubernetes shows a Secret (base64 -d decodes it)"
    if _PKCS12.match(data):
        return f"a PKCS#12 file ({_command('openssl pkcs12 -nodes', path)} converts it)"
    if data[0] == 0x30:
        what, command = _der(data)
        return f"{what} in DER ({_command(command, path)} converts it)" if command else what
    return "no BEGIN line of PEM found"


def _der(data: bytes) -> tuple[str, str]:
    """What DER holds, and the openssl command that reads it."""
    try:
        load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        return "an encrypted private key", "openssl pkey -inform DER"
    except (ValueError, UnsupportedAlgorithm):
        pass  # then it is something else
    else:
        return "a private key", "openssl pkey -inform DER"
    for what, load, command in (
        ("a certificate", x509.load_der_x509_certificate, "openssl x509 -inform DER"),
        ("a certificate request", x509.load_der_x509_csr, "openssl req -inform DER"),
        ("a public key", load_der_public_key, "openssl pkey -pubin -inform DER"),
    ):
        try:
            load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        return what, command
    return "no BEGIN line of PEM found (DER of neither key nor certificate)", ""


def _command(command: str, path: str) -> str:
    stem, suffix = os.path.splitext(path)
    out = f"{stem}.pem"
    if suffix == ".pem" or os.path.exists(out):  # beside www.der there may be the certificate, www.pem
        out = f"{stem}.new.pem"
    return f"{command} -in {shlex.quote(path)} -out {shlex.quote(out)}"

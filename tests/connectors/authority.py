"""A certificate authority for tests, and the files that it writes."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """`pem` is its certificate's file; signed by `parent`, or by itself."""

    def __init__(self, folder: Path, name: str, parent: "Authority | None" = None) -> None:
        self.folder = folder
        self.name = subject(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (self.name, self.key) if parent is None else (parent.name, parent.key)
        builder = _builder(self.name, issuer, self.key, -DAY, DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.cert = builder.sign(signer, hashes.SHA256())
        self.pem = folder / f"{name}.pem".replace(" ", "-")
        self.pem.write_bytes(self.cert.public_bytes(Encoding.PEM))

    def issue(self, *names: str, begin: timedelta = -DAY, end: timedelta = DAY, cn: str = "") -> Path:
        """A file with a key, a certificate of these names, and this authority's certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject(cn or names[0]), self.name, key, begin, end)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), False)
        cert = builder.sign(self.key, hashes.SHA256())
        return _write(self.folder, key, cert, self.cert)


def self_signed(folder: Path, name: str) -> Path:
    """A file with a key and a certificate that nobody else signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject(name), subject(name), key, -DAY, DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([_name(name)]), critical=False)
    return _write(folder, key, builder.sign(key, hashes.SHA256()))


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begin: timedelta, end: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + begin).not_valid_after(now + end)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write(folder: Path, key: ec.EllipticCurvePrivateKey, *certs: x509.Certificate) -> Path:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / f"{certs[0].serial_number}.pem"
    file.write_bytes(private + b"".join(cert.public_bytes(Encoding.PEM) for cert in certs))
    return file

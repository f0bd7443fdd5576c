"""Keys and certificates as people have them load; where they do not, the message says which file and what to do."""

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkerd_tcp.net import keys
from linkerd_tcp.net.keys import Identity, KeyFileError, load_identity, load_into, ssl_context
from tests.leaks import no_leaks
from tests.programs import program

assert no_leaks  # a fixture

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
PASSWORD = b"correct horse"
EXPECTED = "PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY or ENCRYPTED PRIVATE KEY"


# -- what is loaded


class Made:
    """A key and its certificate."""

    def __init__(self, name: str, issuer: "Made | None" = None, key=None, begin=-DAY, end=DAY * 30) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        by = issuer or self
        edwards = isinstance(by.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        sans = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        self.cert = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + begin)
            .not_valid_after(NOW + end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(sans), critical=False)
            .sign(by.key, None if edwards else hashes.SHA256())
        )

    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    def key_as(self, form=PrivateFormat.PKCS8, encoding=Encoding.PEM, password: bytes | None = None) -> bytes:
        how = BestAvailableEncryption(password) if password else NoEncryption()
        return self.key.private_bytes(encoding, form, how)

    def public(self, encoding=Encoding.PEM) -> bytes:
        return self.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    def csr(self, encoding=Encoding.PEM) -> bytes:
        builder = x509.CertificateSigningRequestBuilder().subject_name(self.name)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(encoding)


ROOT = Made("root")
MIDDLE = Made("middle", ROOT)
LEAF = Made("leaf.example", MIDDLE)
OTHER = Made("other.example")
RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA = Made("rsa.example", key=RSA_KEY)

TRADITIONAL, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


class Folder:
    """Files by name; their full paths are cut from messages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: bytes | str) -> None:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (self.path / name.replace("_", ".")).write_bytes(data)

    def load(self, key: str = "key.pem", *certs: str, password: str | None = None) -> Identity:
        files = [str(self.path / name) for name in certs or ("cert.pem",)]
        return load_identity(str(self.path / key), files, None if password is None else str(self.path / password))

    def cut(self, text: str) -> str:
        return text.replace(f"{self.path}/", "")

    def refused(self, *args: str, **options: str | None) -> str:
        with pytest.raises(KeyFileError) as caught:
            self.load(*args, **options)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        return self.cut(str(caught.value))

    def warned(self, *args: str, **options: str | None) -> list[str]:
        return [self.cut(warning) for warning in self.load(*args, **options).warnings]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def shake(identity: Identity) -> dict:
    """A handshake with a client that trusts nothing but the end of the chain; what that client saw."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(cadata=identity.chain[-1].public_bytes(Encoding.PEM).decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=identity.sans[0].removeprefix("DNS:"))
    server = ssl_context(identity).wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(6):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert not waiting
    return client.getpeercert()


KINDS: dict[str, Callable[[], object]] = {
    "RSA 2048": lambda: RSA_KEY,
    "EC secp256r1": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL], ids=["pkcs8", "traditional"])
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["plain", "encrypted"])
def test_a_key_of_each_kind_made_by_cryptography_loads_and_serves(folder, kind, form, password):
    if kind.startswith("Ed") and form is TRADITIONAL:
        form = PKCS8  # they have no other
    made = Made("www.example", key=KINDS[kind]())
    folder.write(key_pem=made.key_as(form, password=password), cert_pem=made.pem(), password=PASSWORD)
    identity = folder.load(password="password" if password else None)
    assert (identity.key_kind, identity.subject, identity.warnings) == (kind, "CN=www.example", ())
    assert identity.sans == ("DNS:www.example", "IP:127.0.0.1")
    assert (identity.not_before, identity.not_after) == (NOW - DAY, NOW + DAY * 30)
    assert [Path(file).name for file in identity.files] == ["key.pem", "cert.pem", *(["password"] if password else [])]
    assert shake(identity)["subject"] == ((("commonName", "www.example"),),)


OPENSSL = {
    "pkcs1": ["genrsa", "-traditional", "-out", "key.pem", "2048"],
    "pkcs1-aes": ["genrsa", "-traditional", "-aes256", "-passout", "file:password", "-out", "key.pem", "2048"],
    "pkcs8": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"],
    "rsa-pss": ["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"],
    "sec1": ["ecparam", "-genkey", "-name", "prime256v1", "-out", "key.pem"],  # with its EC PARAMETERS before
    "sec1-p384": ["ecparam", "-genkey", "-noout", "-name", "secp384r1", "-out", "key.pem"],
    "ec-pkcs8-aes": [
        *("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-aes-128-cbc", "-pass", "file:password", "-out", "key.pem"),
    ],
    "ed25519": ["genpkey", "-algorithm", "ED25519", "-out", "key.pem"],
    "ed25519-aes": ["genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "file:password", "-out", "key.pem"],
}


@pytest.mark.parametrize("how", OPENSSL)
def test_a_key_of_each_kind_made_by_openssl_loads_and_serves(folder, how):
    openssl = program("openssl")
    folder.write(password=PASSWORD + b"\n")
    request = ["req", "-x509", "-key", "key.pem", "-out", "cert.pem", "-days", "9", "-subj", "/CN=made.example"]
    request += ["-addext", "subjectAltName=DNS:made.example", "-passin", "file:password"]
    for command in (OPENSSL[how], request):
        subprocess.run([openssl, *command], cwd=folder.path, check=True, capture_output=True, timeout=30)
    identity = folder.load(password="password" if "aes" in how else None)
    assert identity.warnings == ()
    assert shake(identity)["subject"] == ((("commonName", "made.example"),),)


def test_a_chain_in_several_files_or_one_is_sent_whole_and_each_certificate_once(folder):
    folder.write(key_pem=LEAF.key_as(), leaf_pem=LEAF.pem(), middle_pem=MIDDLE.pem(), root_pem=ROOT.pem())
    folder.write(full_pem=LEAF.pem() + MIDDLE.pem() + ROOT.pem())
    several = folder.load("key.pem", "leaf.pem", "middle.pem", "root.pem")
    whole = folder.load("key.pem", "full.pem")
    assert several.chain == whole.chain == (LEAF.cert, MIDDLE.cert, ROOT.cert)
    assert folder.load("key.pem", "leaf.pem", "full.pem").chain == whole.chain
    assert several.certs_pem == LEAF.pem() + MIDDLE.pem() + ROOT.pem()
    assert several.subject == "CN=leaf.example"
    assert shake(several)["subject"] == ((("commonName", "leaf.example"),),)


@pytest.mark.parametrize("order", ["key first", "key last"])
def test_key_and_certificates_may_be_in_one_file(folder, order):
    parts = [LEAF.key_as(), LEAF.pem() + MIDDLE.pem()]
    folder.write(all_pem=b"".join(parts if order == "key first" else parts[::-1]))
    identity = folder.load("all.pem", "all.pem")
    assert (identity.chain, identity.warnings) == ((LEAF.cert, MIDDLE.cert), ())
    assert len(identity.files) == 1
    ssl_context(identity)


def crlf(pem: bytes) -> bytes:
    return pem.replace(b"\n", b"\r\n")


def leading_text(pem: bytes) -> bytes:
    return "Bag Attributes\n    friendlyName: Schlüssel\nsubject=/CN=x\n\n".encode() + pem


def indented(pem: bytes) -> bytes:
    return b"tls.pem: |-\n" + b"".join(b"    " + line + b"\n" for line in pem.splitlines())


def blanks(pem: bytes) -> bytes:
    return b"\n\n" + pem.replace(b"\n", b"  \n") + b"\n\n\t"


def one_line(pem: bytes) -> bytes:
    """As an environment variable that lost its line ends."""
    return pem.replace(b"\n", b" ")


def powershell(pem: bytes) -> bytes:
    return pem.decode().replace("\n", "\r\n").encode("utf-16")


def byte_order_mark(pem: bytes) -> bytes:
    return b"\xef\xbb\xbf" + pem


@pytest.mark.parametrize("dress", [crlf, leading_text, indented, blanks, one_line, powershell, byte_order_mark])
@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
def test_text_around_and_other_line_ends_do_not_matter(folder, dress, form):
    folder.write(key_pem=dress(LEAF.key_as(form)), cert_pem=dress(LEAF.pem() + MIDDLE.pem()))
    identity = folder.load()
    assert identity.chain == (LEAF.cert, MIDDLE.cert)
    assert identity.private_key_pem == LEAF.key_as(form)
    ssl_context(identity)


@pytest.mark.parametrize("dress", [crlf, leading_text, blanks])
def test_an_old_encrypted_key_keeps_its_headers(folder, dress):
    folder.write(key_pem=dress(RSA.key_as(TRADITIONAL, password=PASSWORD)), cert_pem=RSA.pem(), password=PASSWORD)
    assert b"Proc-Type: 4,ENCRYPTED" in RSA.key_as(TRADITIONAL, password=PASSWORD)
    ssl_context(folder.load(password="password"))


@pytest.mark.parametrize("line", [PASSWORD, PASSWORD + b"\n", PASSWORD + b"\r\n", PASSWORD + b"\nanother\n"])
def test_the_password_is_the_first_line_of_its_file(folder, line):
    folder.write(key_pem=LEAF.key_as(password=PASSWORD), cert_pem=LEAF.pem(), password=line)
    identity = folder.load(password="password")
    assert b"BEGIN PRIVATE KEY" in identity.private_key_pem


def test_white_space_belongs_to_a_password(folder):
    folder.write(key_pem=LEAF.key_as(password=b" a b "), cert_pem=LEAF.pem(), password=" a b \n")
    ssl_context(folder.load(password="password"))


# -- Vault


def vault(**change: object) -> str:
    data = {
        "ca_chain": [MIDDLE.pem().decode().strip(), ROOT.pem().decode().strip()],
        "certificate": LEAF.pem().decode().strip(),
        "expiration": 1700000000,
        "issuing_ca": MIDDLE.pem().decode().strip(),
        "private_key": LEAF.key_as(TRADITIONAL).decode().strip(),
        "private_key_type": "ec",
        "serial_number": "39:dd:2e",
    }
    data.update(change)
    return json.dumps({"request_id": "x", "lease_duration": 0, "data": data, "warnings": None}, indent=2)


def vault_table() -> str:
    """What `vault write pki/issue/...` prints without -format."""
    data = json.loads(vault())["data"]
    lines = ["Key                 Value", "---                 -----"]
    for key, value in data.items():
        lines.append(f"{key:<20}" + ("[" + " ".join(value) + "]" if isinstance(value, list) else str(value)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "answer",
    [
        vault(),
        json.dumps(json.loads(vault())["data"]),
        vault(private_key=LEAF.key_as(PKCS8).decode()),
        vault(certificate=(LEAF.key_as(TRADITIONAL) + LEAF.pem() + MIDDLE.pem()).decode()),
        vault_table(),
    ],
    ids=["json", "json-data", "json-pkcs8", "json-pem_bundle", "table"],
)
def test_what_vault_answers_loads_for_key_and_certificates(folder, answer):
    folder.write(vault_json=answer)
    identity = folder.load("vault.json", "vault.json")
    assert identity.chain == (LEAF.cert, MIDDLE.cert, ROOT.cert)
    assert identity.warnings == ()
    assert shake(identity)["subject"] == ((("commonName", "leaf.example"),),)


def test_the_issuing_authority_is_the_chain_where_vault_gives_no_other(folder):
    folder.write(vault_json=vault(ca_chain=None))
    assert folder.load("vault.json", "vault.json").chain == (LEAF.cert, MIDDLE.cert)


def test_a_pem_bundle_of_vault_loads(folder):
    folder.write(bundle_pem=LEAF.key_as(TRADITIONAL) + LEAF.pem() + MIDDLE.pem() + ROOT.pem())
    assert folder.load("bundle.pem", "bundle.pem").chain == (LEAF.cert, MIDDLE.cert, ROOT.cert)


def test_other_answers_of_vault_are_refused_in_words(folder):
    der = "MHcCAQEEI"
    folder.write(a_json=vault(private_key=der), b_json='{"errors": []}', c_json=vault()[:200], cert_pem=LEAF.pem())
    assert folder.refused("a.json") == "a.json: data.private_key holds no PEM: ask Vault for format=pem"
    assert folder.refused("b.json") == (
        "b.json: JSON without private_key and certificate: not what vault write pki/issue gives"
    )
    assert folder.refused("c.json") == "c.json: begins as JSON does but is none: is the file cut off?"


# -- wrong files


@pytest.fixture
def cert(folder: Folder) -> Folder:
    folder.write(cert_pem=LEAF.pem())
    return folder


def test_a_public_key_is_no_private_key(cert):
    cert.write(key_pem=LEAF.public())
    assert cert.refused() == (
        "key.pem: no private key: found PUBLIC KEY, the public half of a key: the private one is in another file; "
        f"expected {EXPECTED}"
    )


def test_a_request_is_no_private_key(cert):
    cert.write(key_pem=LEAF.csr())
    assert cert.refused() == (
        "key.pem: no private key: found CERTIFICATE REQUEST, a request for a certificate, made from the private key "
        f"and without it; expected {EXPECTED}"
    )


def test_a_request_is_no_certificate(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.csr())
    assert folder.refused() == (
        "cert.pem: no certificate: found CERTIFICATE REQUEST, a request for a certificate, made from the private key "
        "and without it; expected CERTIFICATE"
    )


def test_exchanged_files_are_said(cert):
    cert.write(key_pem=LEAF.key_as())
    assert cert.refused("cert.pem", "key.pem") == (
        f"cert.pem: no private key: found CERTIFICATE, a certificate: was it meant for certs?; expected {EXPECTED}"
    )
    assert cert.refused("key.pem", "key.pem") == (
        "key.pem: no certificate: found PRIVATE KEY, a private key: was it meant for privateKey?; expected CERTIFICATE"
    )


def test_no_key_names_everything_that_is_there(cert):
    cert.write(key_pem=b"-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n" + LEAF.pem())
    assert cert.refused() == f"key.pem: no private key: found EC PARAMETERS and CERTIFICATE; expected {EXPECTED}"


def test_two_keys_are_one_too_many(cert):
    cert.write(key_pem=b"\n" + LEAF.key_as() + OTHER.key_as(TRADITIONAL))
    assert cert.refused() == (
        "key.pem: 2 private keys: found PRIVATE KEY at key.pem:2 and EC PRIVATE KEY at key.pem:7; expected one"
    )


def test_a_key_of_another_certificate(cert):
    cert.write(key_pem=RSA.key_as())
    assert cert.refused() == (
        "key.pem:1: the private key does not match its certificate cert.pem:1 (CN=leaf.example): the key is RSA 2048, "
        "the certificate has EC secp256r1; expected the key that the certificate was made for"
    )


def test_a_chain_with_the_authority_first(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=b"# chain\n" + MIDDLE.pem() + LEAF.pem())
    line = 2 + len(MIDDLE.pem().splitlines())
    assert folder.refused() == (
        f"cert.pem:{line} (CN=leaf.example): wrong order: this is the certificate of the private key, and cert.pem:2 "
        "(CN=middle) stands before it; expected the certificate first, then what issued it"
    )


def test_a_chain_with_the_root_before_what_it_issued(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem(), root_pem=ROOT.pem(), middle_pem=MIDDLE.pem())
    assert folder.refused("key.pem", "cert.pem", "root.pem", "middle.pem") == (
        "root.pem:1 (CN=root): the chain is in the wrong order: it issued middle.pem:1 (CN=middle), which stands "
        "behind it; expected the certificate first, then what issued it, and so on"
    )


def test_a_certificate_that_has_no_place_in_the_chain_is_a_warning(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem() + MIDDLE.pem(), other_pem=OTHER.pem())
    assert folder.warned("key.pem", "cert.pem", "other.pem") == [
        "other.pem:1 (CN=other.example): issued none of the certificates before it: it is sent, and of no use"
    ]


def test_a_cross_signed_authority_may_stand_twice(folder):
    crossed = Made("middle", OTHER, key=MIDDLE.key)
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem() + MIDDLE.pem() + crossed.pem() + ROOT.pem() + OTHER.pem())
    assert folder.warned() == []


def test_an_expired_certificate_is_a_warning_and_loads(folder):
    old = Made("old.example", begin=-3 * DAY, end=-2 * DAY)
    folder.write(key_pem=old.key_as(), cert_pem=old.pem())
    at = f"{NOW - 2 * DAY:%Y-%m-%d %H:%M:%S}"
    assert folder.warned() == [f"cert.pem:1 (CN=old.example): expired on {at} UTC, 2 days ago"]
    ssl_context(folder.load())


def test_a_certificate_of_tomorrow_is_a_warning_and_loads(folder):
    new = Made("new.example", begin=DAY + datetime.timedelta(hours=1))
    folder.write(key_pem=new.key_as(), cert_pem=new.pem())
    at = f"{NOW + DAY + datetime.timedelta(hours=1):%Y-%m-%d %H:%M:%S}"
    assert folder.warned() == [f"cert.pem:1 (CN=new.example): not valid before {at} UTC, in 1 day"]


def test_an_expired_authority_in_the_chain_is_a_warning_too(folder):
    old = Made("old", begin=-3 * DAY, end=-DAY)
    leaf = Made("leaf.example", old)
    folder.write(key_pem=leaf.key_as(), cert_pem=leaf.pem(), old_pem=old.pem())
    assert [warning.split(": expired")[0] for warning in folder.warned("key.pem", "cert.pem", "old.pem")] == [
        "old.pem:1 (CN=old)"
    ]


def test_the_dates_are_held_against_the_time_given(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem())
    files = str(folder.path / "key.pem"), [str(folder.path / "cert.pem")]
    for seconds, words in ((-1, []), (0, []), (1, ["less than a minute ago"]), (7300, ["2 hours ago"])):
        now = LEAF.cert.not_valid_after_utc + datetime.timedelta(seconds=seconds)
        assert [warning.split(", ")[-1] for warning in load_identity(*files, now=now).warnings] == words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            LEAF.key_as(encoding=Encoding.DER),
            "a private key in DER (openssl pkey -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            RSA.key_as(TRADITIONAL, Encoding.DER),
            "a private key in DER (openssl pkey -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            LEAF.key_as(encoding=Encoding.DER, password=PASSWORD),
            "an encrypted private key in DER (openssl pkey -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            LEAF.cert.public_bytes(Encoding.DER),
            "a certificate in DER (openssl x509 -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            LEAF.public(Encoding.DER),
            "a public key in DER (openssl pkey -pubin -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            LEAF.csr(Encoding.DER),
            "a certificate request in DER (openssl req -inform DER -in {} -out {}.pem converts it)",
        ),
        (
            pkcs12.serialize_key_and_certificates(b"x", LEAF.key, LEAF.cert, None, NoEncryption()),
            "a PKCS#12 file (openssl pkcs12 -nodes -in {} -out {}.pem converts it)",
        ),
        (b"", "empty"),
        (b"\r\n  \n", "empty"),
        (b"hello", "no BEGIN line of PEM found"),
        (b"0123", "no BEGIN line of PEM found (DER of neither key nor certificate)"),
        (
            b"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0h",
            "PEM in base64 once more, as Kubernetes shows a Secret (base64 -d decodes it)",
        ),
        (
            b"\xfe\xed\xfe\xed\0\0\0\2",
            "a Java keystore (keytool -importkeystore -deststoretype pkcs12 makes a PKCS#12 file of it)",
        ),
    ],
)
def test_a_file_without_pem_is_named_for_what_it_is(cert, content, message):
    cert.write(key_der=content)
    text = message.replace("{}.pem", "key.pem").replace("{}", "key.der")
    assert cert.refused("key.der") == f"key.der: {text}: expected a private key ({EXPECTED}) in PEM"
    cert.write(leaf_pem=LEAF.key_as())
    assert cert.refused("leaf.pem", "key.der") == f"key.der: {text}: expected a certificate (CERTIFICATE) in PEM"


def test_the_command_for_der_runs_as_it_is_printed(folder):
    program("openssl")
    name = "my key.pem"
    (folder.path / name).write_bytes(LEAF.key_as(encoding=Encoding.DER))
    folder.write(cert_pem=LEAF.pem())
    with pytest.raises(KeyFileError) as caught:
        folder.load(name)
    command = str(caught.value).split("(")[1].split(" converts")[0]
    subprocess.run(command, shell=True, check=True, timeout=10)
    assert folder.load("my key.new.pem").subject == "CN=leaf.example"


def test_the_command_that_converts_writes_over_no_file(folder):
    folder.write(www_pem=LEAF.pem() + MIDDLE.pem())
    (folder.path / "www.der").write_bytes(LEAF.key_as(encoding=Encoding.DER))
    with pytest.raises(KeyFileError, match=r"-out \S+/www\.new\.pem converts it"):
        folder.load("www.der", "www.pem")


def test_an_encrypted_key_wants_its_password(cert):
    cert.write(key_pem=LEAF.key_as(password=PASSWORD))
    assert cert.refused() == "key.pem:1: the ENCRYPTED PRIVATE KEY is encrypted: expected passwordFile beside it"
    cert.write(key_pem=LEAF.key_as(TRADITIONAL, password=PASSWORD))
    assert cert.refused() == "key.pem:1: the EC PRIVATE KEY is encrypted: expected passwordFile beside it"


@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
def test_a_wrong_password_is_said_and_not_shown(cert, form):
    cert.write(key_pem=LEAF.key_as(form, password=PASSWORD), password=b"wrong-Secret1\n" + PASSWORD)
    label = "ENCRYPTED PRIVATE KEY" if form is PKCS8 else "EC PRIVATE KEY"
    assert cert.refused(password="password") == (
        f"key.pem:1: the first line of password does not open the {label}: the password is wrong, or the key is damaged"
    )


@pytest.mark.parametrize("line", [b"", b"\n", b"\r\nsecond"])
def test_an_empty_password_file_is_said(cert, line):
    cert.write(key_pem=LEAF.key_as(password=PASSWORD), password=line)
    assert cert.refused(password="password") == ("password: the first line is empty: expected the password of key.pem")


def test_a_password_for_an_open_key_is_a_warning(cert):
    cert.write(key_pem=LEAF.key_as(), password=PASSWORD)
    assert cert.warned(password="password") == [
        "key.pem:1: the PRIVATE KEY is not encrypted: passwordFile is not needed"
    ]


@pytest.mark.parametrize(
    ("key", "kind"),
    [(x25519.X25519PrivateKey.generate(), "X25519"), (dsa.generate_private_key(1024), "DSA")],
    ids=["x25519", "dsa"],
)
def test_a_key_that_cannot_serve_is_named(cert, key, kind):
    cert.write(key_pem=key.private_bytes(Encoding.PEM, PKCS8, NoEncryption()))
    assert cert.refused() == f"key.pem:1: the PRIVATE KEY is a {kind} key: expected an RSA, EC, Ed25519 or Ed448 key"


def test_a_key_of_ssh_is_named(cert):
    cert.write(key_pem=LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    assert cert.refused() == (
        "key.pem: no private key: found OPENSSH PRIVATE KEY, a key in SSH's own format (ssh-keygen -p -m PEM converts "
        f"it in place, Ed25519 excepted); expected {EXPECTED}"
    )


def test_a_file_that_was_cut_off_is_said(cert):
    pem = LEAF.key_as()
    cert.write(key_pem=b"# mine\n" + pem[:100])
    assert cert.refused() == ("key.pem:2: BEGIN PRIVATE KEY without its END PRIVATE KEY: is the file cut off?")
    cert.write(key_pem=pem[40:])
    assert cert.refused() == "key.pem:4: END PRIVATE KEY without its BEGIN PRIVATE KEY"
    cert.write(key_pem=pem[:100] + LEAF.pem())
    assert "without its END PRIVATE KEY" in cert.refused()


@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
def test_a_damaged_key_is_said_and_not_shown(cert, form):
    lines = LEAF.key_as(form).decode().splitlines()
    label = "PRIVATE KEY" if form is PKCS8 else "EC PRIVATE KEY"
    for damaged in (lines[1][5:], "!" + lines[1][1:], "A" * 64):
        cert.write(key_pem="\n".join([lines[0], damaged, *lines[2:]]))
        message = cert.refused()
        assert message == f"key.pem:1: the {label} cannot be read: it is damaged"
        assert damaged not in message


def test_a_private_half_that_does_not_go_with_its_public_half_is_found(folder):
    numbers = RSA_KEY.private_numbers()
    broken = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d ^ 64, numbers.dmp1 ^ 64, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    folder.write(key_pem=broken.private_bytes(Encoding.PEM, PKCS8, NoEncryption()), cert_pem=RSA.pem())
    assert folder.refused() == ("key.pem:1: the PRIVATE KEY does not sign what its certificate verifies: damaged")


def test_a_damaged_certificate_is_said(folder):
    lines = LEAF.pem().decode().splitlines()
    folder.write(key_pem=LEAF.key_as(), cert_pem="\n".join([lines[0], *lines[2:]]))
    assert folder.refused() == "cert.pem:1: the CERTIFICATE cannot be read: it is damaged"


@pytest.mark.usefixtures("no_leaks")
def test_files_that_cannot_be_read_are_named(cert):
    assert cert.refused() == "key.pem: No such file or directory"
    cert.write(key_pem=LEAF.key_as(password=PASSWORD))
    assert cert.refused("key.pem", "none.pem", password="none") == "none: No such file or directory"
    os.mkfifo(cert.path / "fifo")
    assert cert.refused("fifo") == "fifo: not a regular file"
    (cert.path / "folder").mkdir()
    assert cert.refused("folder") == "folder: not a regular file"
    (cert.path / "large").write_bytes(bytes((1 << 20) + 1))
    assert cert.refused("large") == "large: larger than 1048576 bytes, too large for PEM"


@pytest.mark.parametrize("content", [LEAF.key_as(), LEAF.key_as(TRADITIONAL), LEAF.key_as(password=PASSWORD)])
def test_no_part_of_a_key_is_ever_shown(folder, content):
    """Whatever is done to the file: no eight characters of its base64 in a row."""
    secret = "".join(content.decode().splitlines()[1:-1])
    folder.write(cert_pem=OTHER.pem(), password="not this one")
    for cut in range(0, len(content), 7):
        for damaged in (
            content[:cut],
            content[cut:],
            content[:cut] + content[cut + 3 :],
            content[:cut] + b"\0" + content[cut:],
        ):
            folder.write(key_pem=damaged)
            message = folder.refused(password="password")
            assert not any(secret[at : at + 8] in message for at in range(len(secret) - 8))
            assert "not this one" not in message


@given(st.integers(0, 600), st.binary(max_size=4), st.integers(0, 4))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_certificates_load_or_are_refused_and_nothing_else_happens(folder, at, some, dropped):
    der = LEAF.cert.public_bytes(Encoding.DER)
    damaged = base64.encodebytes(der[:at] + some + der[at + dropped :])
    pem = b"-----BEGIN CERTIFICATE-----\n" + damaged + b"-----END CERTIFICATE-----\n"
    folder.write(key_pem=LEAF.key_as(), cert_pem=pem + MIDDLE.pem())
    with contextlib.suppress(KeyFileError):
        load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder.load())


@given(st.text('-{}[]": \n\0Aé=', max_size=30), st.text("BEGIND PRIVATE KEY-\n:", max_size=30))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_refused_with_the_name_of_its_file(folder, one, two):
    for text in (one, two, f"{one}-----BEGIN PRIVATE KEY-----{two}-----END PRIVATE KEY-----{one}", "{" + one):
        folder.write(key_pem=text, cert_pem=LEAF.pem())
        assert folder.refused().startswith("key.pem:")


def test_an_identity_does_not_show_its_key(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem())
    identity = folder.load()
    assert "BEGIN" not in repr(identity)
    assert "CN=leaf.example" in repr(identity)


# -- into ssl


def small() -> Made:
    return Made("small.example", key=rsa.generate_private_key(65537, 1024))


def test_what_openssl_refuses_is_said_with_the_file(folder):
    made = small()
    folder.write(key_pem=made.key_as(), cert_pem=made.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    with pytest.raises(KeyFileError) as caught:
        load_into(context, folder.load())
    assert folder.cut(str(caught.value)) == (
        "key.pem: OpenSSL refuses the key or its certificates: the key is too small for this system's OpenSSL; "
        "RSA needs 2048 bits"
    )


def test_only_tls_1_2_and_1_3_are_spoken(folder):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem())
    assert ssl_context(folder.load()).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_reaches_openssl_through_memory_and_nothing_stays_open(folder, monkeypatch):
    if not hasattr(os, "memfd_create"):
        pytest.skip("needs memfd_create")
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem())
    identity = folder.load()
    monkeypatch.setattr(keys.tempfile, "mkstemp", lambda **_: pytest.fail("a file was made"))
    ssl_context(identity)
    before = sorted(os.listdir("/proc/self/fd"))
    ssl_context(identity)
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("without", ["memfd_create", "/proc"])
def test_elsewhere_the_file_is_private_and_gone_at_once(folder, monkeypatch, without):
    folder.write(key_pem=LEAF.key_as(), cert_pem=LEAF.pem())
    identity = folder.load()
    if without == "/proc":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    place = folder.path / "temporary"
    place.mkdir()
    monkeypatch.setattr(keys.tempfile, "tempdir", str(place))
    seen = []

    class Context:
        def load_cert_chain(self, path: str) -> None:
            seen.append((stat.S_IMODE(os.stat(path).st_mode), Path(path).parent))
            if len(seen) == 2:
                raise ssl.SSLError(1, "made up")

    load_into(Context(), identity)
    assert seen == [(0o600, place)]
    assert list(place.iterdir()) == []
    with pytest.raises(KeyFileError):
        load_into(Context(), identity)
    assert list(place.iterdir()) == []
    ssl_context(identity)
    assert list(place.iterdir()) == []

"""`openssl s_server` as the endpoint: each kind of key, both versions, and a client certificate."""

import subprocess
from pathlib import Path

import pytest

from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.config.tls import ClientIdentity, ClientTls
from linkerd_tcp.connectors import connector_for
from linkerd_tcp.connectors.connector import Target
from linkerd_tcp.naming.addr import Address
from tests.programs import program
from tests.system.harness import free_port
from tests.system.servers import running

from .authority import Authority
from .test_secure import NAME, converse

KEYS = {
    "rsa": ["rsa:2048"],
    "p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ed25519": ["ed25519"],
}


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_is_verified(tmp_path: Path, kind: str, version: str) -> None:
    openssl, port = program("openssl"), free_port()
    new = ["req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "2", "-subj", "/CN=x"]
    files = ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([openssl, *new, *files], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    mine = Authority(tmp_path, "Client CA").issue("proxy.example.com")
    serve = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", "cert.pem", "-key", "key.pem", "-rev", f"-{version}"]
    verify = ["-Verify", "2", "-verify_return_error", "-CAfile", "Client-CA.pem"]
    auth = ClientIdentity(certs=(mine,), private_key=mine)
    tls = ClientTls(dns_name=NAME, trust_certs=(tmp_path / "cert.pem",), client_auth=auth)
    with running([openssl, *serve, *verify], tmp_path, port):
        target, connector = Target(Address("127.0.0.1", port)), connector_for(ClientSettings(tls=tls))
        reused = []
        for _ in range(2):
            end = connector.connect(target, 5.0)
            try:
                assert converse(end, b"hello\n") == b"olleh\n"
                assert end.tls.version() == {"tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}[version]
                reused.append(end.tls.session_reused)
            finally:
                end.shutdown(1)
                end.close()
    assert reused == [False, True]

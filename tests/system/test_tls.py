"""TLS ends at the proxy: openssl, curl and sslscan in front of it, nginx behind it."""

import random
import re
import socket
import ssl
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.programs import program
from tests.system.harness import Proxy, config, free_port, run, static, until
from tests.system.peers import Backend, visit
from tests.system.servers import nginx
from tests.system.tls_tools import Handshake, at, curl, haproxy, identity, nginx_with, openssl
from tests.tls_files import Authority

PASSWORD = "open sesame"
KINDS = {
    "rsa-pkcs1": ["genrsa", "-traditional", "2048"],
    "rsa-pkcs8": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-pss": ["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ec-sec1": ["ecparam", "-genkey", "-name", "prime256v1"],  # with its EC PARAMETERS block
    "ec-sec1-p384": ["ecparam", "-genkey", "-noout", "-name", "secp384r1"],
    "ec-pkcs8": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["genpkey", "-algorithm", "ED25519"],
    "ed448": ["genpkey", "-algorithm", "ED448"],
    "encrypted-pkcs8": ["genpkey", "-algorithm", "RSA", "-aes-256-cbc", "-pass", f"pass:{PASSWORD}"],
    "encrypted-pkcs1": ["genrsa", "-traditional", "-aes256", "-passout", f"pass:{PASSWORD}", "2048"],
}
HEADERS = {
    "rsa-pkcs1": "RSA PRIVATE KEY",
    "ec-sec1": "EC PARAMETERS",
    "ec-sec1-p384": "EC PRIVATE KEY",
    "encrypted-pkcs8": "ENCRYPTED PRIVATE KEY",
    "encrypted-pkcs1": "RSA PRIVATE KEY",
}
"""What the file begins with; `PRIVATE KEY` where nothing is said. A later openssl might write another."""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name in ("default.example", "www.example.com", "*.example.com"):
        authority.sign(name)
    authority.sign("caller", "DNS:caller.example")
    return authority


def files(ca: Authority, stem: str) -> tuple[Path, Path]:
    return ca.folder / f"{stem}.key", ca.folder / f"{stem}.pem"


def tls(ca: Authority, *names: str, default: str | None = "default.example", **more: Any) -> dict[str, Any]:
    """A server's `tls` with identities of these names."""
    said: dict[str, Any] = {
        "identities": {name: identity(*files(ca, name.replace("*", "any"))) for name in names},
        **more,
    }
    return said if default is None else {"defaultIdentity": identity(*files(ca, default)), **said}


def conf(ca: Authority, endpoints: Sequence[Any], *names: str, **more: Any) -> dict[str, Any]:
    return config(endpoints, server={"tls": tls(ca, *names, **more)})


# Who it is


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_the_most_specific_identity_is_shown_and_the_default_to_all_others(
    tmp_path: Path, ca: Authority, version: str
) -> None:
    flag = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}[version]
    with Backend("b") as backend:
        conf_ = conf(ca, [backend.address], "www.example.com", "*.example.com")
        with Proxy(tmp_path, conf_) as proxy:
            shown = {
                "www.example.com": "www.example.com",
                "WWW.Example.COM": "www.example.com",
                "other.example.com": "*.example.com",
                "a.b.example.com": "default.example",
                "example.com": "default.example",
                "elsewhere.test": "default.example",
            }
            for asked, expected in shown.items():
                done = Handshake(proxy.port(), flag, "-servername", asked, "-CAfile", ca.cert)
                assert (done.common_name, done.version, done.verified) == (expected, version, True), done.said
            unnamed = Handshake(proxy.port(), flag, "-noservername", "-CAfile", ca.cert)
            assert unnamed.common_name == "default.example", unnamed.said
            assert proxy.metric("l5d_srv_tls_handshake_seconds_count") == len(shown) + 1
            assert proxy.metric("l5d_srv_tls_failures_total") == 0


def test_without_a_default_an_unknown_name_is_told_unrecognized_name(tmp_path: Path, ca: Authority) -> None:
    with Backend("b") as backend, Proxy(tmp_path, conf(ca, [backend.address], "*.example.com", default=None)) as proxy:
        good = Handshake(proxy.port(), "-servername", "any.example.com", "-CAfile", ca.cert)
        assert good.common_name == "*.example.com", good.said
        for arguments in (["-servername", "elsewhere.test"], ["-noservername"]):
            refused = Handshake(proxy.port(), *arguments)
            assert not refused.succeeded
            assert "unrecognized name" in refused.said, refused.said
        lines = proxy.closed(3)
        assert [line["cause"] for line in lines].count("tls") == 2
        assert proxy.metric("l5d_srv_tls_failures_total", cause="unrecognized_name") == 2
        assert backend.accepted == 1


def test_every_kind_of_key_that_openssl_makes_serves(tmp_path: Path, ca: Authority) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    identities = {}
    for kind, command in KINDS.items():
        key, cert, name = tmp_path / f"{kind}.key", tmp_path / f"{kind}.pem", f"{kind}.test"
        openssl(command[0], "-out", key, *command[1:])
        assert key.read_text().startswith(f"-----BEGIN {HEADERS.get(kind, 'PRIVATE KEY')}-----"), key.read_text()
        self_signed = ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        openssl("req", "-x509", "-key", key, "-passin", f"pass:{PASSWORD}", "-out", cert, *self_signed)
        more = {"passwordFile": "password"} if kind.startswith("encrypted") else {}
        identities[name] = identity(key, cert, **more)
    server = {"tls": {"identities": identities}}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], server=server)) as proxy:
        for name in identities:
            cert = tmp_path / f"{name.removesuffix('.test')}.pem"
            for flag in ("-tls1_2", "-tls1_3"):
                done = Handshake(proxy.port(), flag, "-servername", name, "-CAfile", cert, "-verify_hostname", name)
                assert (done.common_name, done.verified) == (name, True), done.said
        assert proxy.metric("l5d_srv_tls_failures_total") == 0


# What is spoken


def test_tls_1_1_and_plain_text_are_refused_and_counted_as_such(tmp_path: Path, ca: Authority) -> None:
    with Backend("b") as backend, Proxy(tmp_path, conf(ca, [backend.address])) as proxy:
        for flag in ("-tls1", "-tls1_1"):
            refused = Handshake(proxy.port(), flag, "-cipher", "ALL:@SECLEVEL=0")
            assert not refused.version, refused.said
            assert "protocol version" in refused.said, refused.said
        assert proxy.metric("l5d_srv_tls_failures_total", cause="version") == 2
        assert curl(f"http://127.0.0.1:{proxy.port()}/").returncode != 0
        until("it is counted", lambda: proxy.metric("l5d_srv_tls_failures_total", cause="plaintext") == 1)
        lines = proxy.closed(3)
        assert {line["cause"] for line in lines} == {"tls"}
        assert ["TLS version" in str(line) for line in lines] == [True, True, False], lines
        assert "does not speak TLS" in str(lines[2]), lines[2]
        assert backend.accepted == 0


def test_min_version_and_ciphers_are_kept(tmp_path: Path, ca: Authority) -> None:
    strict, narrow = tls(ca, minVersion="TLSv1.3"), tls(ca, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    servers = [{"port": 0, "dstName": "/svc/default", "tls": each} for each in (strict, narrow)]
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], servers=servers)) as proxy:
        first, second = proxy.port(), proxy.port(index=1)
        assert Handshake(first).version == "TLSv1.3"
        assert not Handshake(first, "-tls1_2").version
        assert "ECDHE-ECDSA-AES256-GCM-SHA384" in Handshake(second, "-tls1_2").said
        other = Handshake(second, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        assert not other.version, other.said
        assert proxy.metric("l5d_srv_tls_failures_total", cause="no_shared_cipher", srv=f"127.0.0.1:{second}") == 1


def test_the_common_groups_and_aead_ciphers_are_agreed_on(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    # RSA: in TLS 1.2 a client's list of groups is also of the curves that a certificate may have.
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa", "-keyout", key, "-out", cert)
    suites = {
        "-tls1_3": ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
        "-tls1_2": ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"),
    }
    server = {"tls": {"defaultIdentity": identity(key, cert)}}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], server=server)) as proxy:
        for group, printed in {"X25519": "X25519", "P-256": "ECDH, prime256v1", "P-384": "ECDH, secp384r1"}.items():
            for flag, names in suites.items():
                for name in names:
                    option = "-ciphersuites" if flag == "-tls1_3" else "-cipher"
                    done = Handshake(proxy.port(), flag, "-groups", group, option, name)
                    assert f"Cipher is {name}" in done.said, done.said
                    assert f"Server Temp Key: {printed}" in done.said, done.said


def test_sslscan_finds_nothing_weak(tmp_path: Path, ca: Authority) -> None:
    sslscan = program("sslscan")
    with Backend("b") as backend, Proxy(tmp_path, conf(ca, [backend.address])) as proxy:
        report = _sslscan(sslscan, proxy.port())
        enabled = {each.get("type", "") + each.get("version", "") for each in report.iter("protocol")
                   if each.get("enabled") == "1"}  # fmt: skip
        assert enabled == {"tls1.2", "tls1.3"}
        ciphers = {each.get("cipher"): each.get("strength") for each in report.iter("cipher")}
        assert ciphers
        assert set(ciphers.values()) <= {"strong", "acceptable"}, ciphers
        assert not [each.attrib for each in report.iter("heartbleed") if each.get("vulnerable") != "0"]
        assert [each.get("supported") for each in report.iter("renegotiation")] == ["0"]
        # Not every build of sslscan looks for it.
        assert {each.get("supported") for each in report.iter("compression")} <= {"0"}


def _sslscan(command: str, port: int) -> ElementTree.Element:
    done = subprocess.run(
        [command, "--xml=-", f"127.0.0.1:{port}"], capture_output=True, text=True, check=True, timeout=30
    )
    return ElementTree.fromstring(done.stdout)


# curl


def test_curl_verifies_us_and_gets_what_nginx_serves(tmp_path: Path, ca: Authority) -> None:
    with nginx(tmp_path) as [port], Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], "www.example.com")) as proxy:
        content = bytes(range(256)) * 8000
        (tmp_path / "nginx" / "files" / "big").write_bytes(content)
        good = curl(*at(proxy.port(), ca.cert), "https://www.example.com/", "https://www.example.com/")
        assert (good.returncode, good.stdout) == (0, "nginx\nnginx\n"), good.stderr
        resolved = ["--resolve", f"www.example.com:{proxy.port()}:127.0.0.1", "--cacert", ca.cert]
        saved = curl(*resolved, "-o", tmp_path / "got", f"https://www.example.com:{proxy.port()}/big")
        assert saved.returncode == 0, saved.stderr
        assert (tmp_path / "got").read_bytes() == content
        wrong_name = curl(*at(proxy.port(), ca.cert), "https://elsewhere.test/")
        assert wrong_name.returncode == 60, wrong_name.stderr
        untrusted = curl("--connect-to", f"::127.0.0.1:{proxy.port()}", "https://www.example.com/")
        assert untrusted.returncode == 60, untrusted.stderr
        line = proxy.closed(4)[0]
        assert line["cause"] == "client_closed"
        # Counted is what the endpoint is sent and sends, not TLS's own bytes.
        assert 2 * len("nginx\n") < line["txBytes"] < 1000


def test_alpn_is_agreed_with_curl_and_openssl(tmp_path: Path, ca: Authority) -> None:
    with (
        nginx(tmp_path) as [port],
        Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], alpnProtocols=["http/1.1"])) as proxy,
    ):
        done = curl(*at(proxy.port(), ca.cert), "-w", "%{http_version}", "https://default.example/")
        assert (done.returncode, done.stdout) == (0, "nginx\n1.1"), done.stderr
        assert Handshake(proxy.port(), "-alpn", "h2,http/1.1").alpn == "http/1.1"
        # Nothing in common: without ALPN rather than not at all.
        neither = Handshake(proxy.port(), "-alpn", "smtp")
        assert neither.version, neither.said
        assert not neither.alpn


def test_curl_speaks_http_2_and_1_through_alpn_each_to_its_endpoint(tmp_path: Path, ca: Authority) -> None:
    ports = {"h2": free_port(), "http-1.1": free_port()}
    servers = "".join(
        f'server {{ listen 127.0.0.1:{port} {"http2" * (name == "h2")}; location / {{ return 200 "{name}"; }} }}\n'
        for name, port in ports.items()
    )
    server = {"port": 0, "tls": tls(ca, alpnProtocols=["h2", "http/1.1"]), "identifier": {"kind": "io.l5d.alpn"}}
    made = config(servers=[server], namers=static({name: [f"127.0.0.1:{port}"] for name, port in ports.items()}))
    with (
        nginx_with(tmp_path, f"http {{ access_log off; {servers} }}", ports["http-1.1"]),
        Proxy(tmp_path, made) as proxy,
    ):
        for option, expected in {"--http2": "h2 2", "--http1.1": "http-1.1 1.1"}.items():
            url = "https://default.example/"
            done = curl(*at(proxy.port(), ca.cert), option, "-w", " %{http_version}", url)
            assert (done.returncode, done.stdout) == (0, expected), done.stderr
        assert {line["path"] for line in proxy.closed(2)} == {"/svc/h2", "/svc/http-1.1"}


# Streams


def test_h2load_and_wrk_lose_no_request_over_tls(tmp_path: Path, ca: Authority) -> None:
    h2load, wrk = program("h2load"), program("wrk")
    with (
        nginx(tmp_path) as [port],
        Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], alpnProtocols=["http/1.1"])) as proxy,
    ):
        url = f"https://127.0.0.1:{proxy.port()}/"
        kept = subprocess.run(
            [h2load, "--h1", "-c", "20", "-n", "5000", url], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in kept, kept
        fresh = subprocess.run(
            [wrk, "-t1", "-c10", "-d1", "-H", "Connection: close", url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        assert "Socket errors" not in fresh, fresh
        done = re.search(r"(\d+) requests in", fresh)
        assert done, fresh
        assert int(done[1]) > 100, fresh
        assert proxy.metric("l5d_srv_tls_failures_total") == 0
        # wrk looks whether anybody listens, and leaves in the middle when its time is up.
        causes = Counter(line["cause"] for line in proxy.closed(20 + int(done[1])))
        assert set(causes) <= {"client_closed", "endpoint_closed", "reset"}, causes
        assert causes["reset"] <= 11, causes


def test_a_large_upload_arrives_whole_and_the_answer_after_it(tmp_path: Path, ca: Authority) -> None:
    content = random.Random(5).randbytes(30_000_000)
    (tmp_path / "content").write_bytes(content)
    with nginx(tmp_path) as [port], Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"])) as proxy:
        options = [*at(proxy.port(), ca.cert), "-w", "%{http_code}"]
        done = curl(*options, "-T", tmp_path / "content", "https://default.example/content")
        assert (done.returncode, done.stdout) == (0, "201"), done.stderr
        assert (tmp_path / "nginx" / "files" / "content").read_bytes() == content
        assert len(content) < proxy.closed(1)[0]["rxBytes"] < len(content) + 1000


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_an_answer_that_ends_with_the_endpoints_fin_is_whole_and_ends_as_tls_should(
    tmp_path: Path, ca: Authority, flag: str
) -> None:
    answer = b"answer\n" * 200_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                assert sock.recv(100) == b"hello\n"
                sock.sendall(answer)

        with Proxy(tmp_path, conf(ca, [f"127.0.0.1:{listener.getsockname()[1]}"])) as proxy:
            serving = gevent.spawn(serve)
            # -quiet: it goes on reading when it has nothing more to say.
            at_proxy = ["-connect", f"127.0.0.1:{proxy.port()}", "-CAfile", str(ca.cert)]
            command = [program("openssl"), "s_client", "-quiet", flag, *at_proxy]
            done = subprocess.run(command, input=b"hello\n", capture_output=True, check=False, timeout=20)
            serving.get(timeout=10)
            assert done.stdout == answer
            # OpenSSL 3 says so of a stream that is not ended by close_notify: it might have been cut off.
            assert b"unexpected eof" not in done.stderr, done.stderr
            assert done.returncode == 0
            assert proxy.closed(1)[0]["cause"] == "endpoint_closed"


def test_new_keys_in_the_middle_of_a_stream_lose_nothing(tmp_path: Path, ca: Authority) -> None:
    with Backend("b") as backend, Proxy(tmp_path, conf(ca, [backend.address])) as proxy:
        said = [b"one\n", b"K\n", b"two\n", b"k\n", b"three\n", b"K\n", b"four\n"]
        printed = _talk(proxy.port(), "-tls1_3", said=said)
        assert re.findall(r"^b (\w+)$", printed, re.MULTILINE) == ["one", "two", "three", "four"], printed
        [line] = proxy.closed(1)
        assert (line["cause"], line["rxBytes"]) == ("client_closed", len(b"one\ntwo\nthree\nfour\n"))


def test_haproxy_speaks_tls_to_us_and_verifies_the_name(tmp_path: Path, ca: Authority) -> None:
    front = free_port()
    with nginx(tmp_path) as [port], Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], "www.example.com")) as proxy:
        name = "sni str(www.example.com) verifyhost www.example.com check-sni www.example.com"
        checked = f"ssl verify required ca-file {ca.cert} {name} check inter 100ms"
        body = f"listen front\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:{proxy.port()} {checked}\n"
        with haproxy(tmp_path, body, front):
            # Its checks verify us, too, and it would answer nobody once they fail.
            until("HAProxy has checked", lambda: proxy.metric("l5d_srv_accepts_total") >= 4)
            assert curl(f"http://127.0.0.1:{front}/").stdout == "nginx\n"


def test_a_client_that_leaves_in_the_handshake_is_told_from_one_that_fails_it(tmp_path: Path, ca: Authority) -> None:
    with Backend("b") as backend, Proxy(tmp_path, conf(ca, [backend.address])) as proxy:
        socket.create_connection(proxy.address).close()
        [line] = proxy.closed(1)
        assert line["cause"] == "reset"
        assert line["detail"] == "client: the connection ended, in the TLS handshake"
        assert proxy.metric("l5d_srv_tls_failures_total") == 0


# Who is calling


def test_a_required_client_certificate_is_required(tmp_path: Path, ca: Authority) -> None:
    auth = {"mode": "required", "trustCerts": [str(ca.cert)]}
    stranger = Authority(tmp_path / "stranger", "another authority").sign("caller")
    with nginx(tmp_path) as [port], Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], clientAuth=auth)) as proxy:
        url = "https://default.example/"
        options = at(proxy.port(), ca.cert)
        for version in ("1.2", "1.3"):
            limits = [f"--tlsv{version}", "--tls-max", version]
            key, cert = files(ca, "caller")
            good = curl(*options, *limits, "--cert", cert, "--key", key, url)
            assert (good.returncode, good.stdout) == (0, "nginx\n"), good.stderr
            bare = curl(*options, *limits, url)
            assert bare.returncode in (35, 56), bare.stderr
            key, cert = stranger
            strange = curl(*options, *limits, "--cert", cert, "--key", key, url)
            assert strange.returncode in (35, 56), strange.stderr
        lines = proxy.closed(6)
        assert sorted(line["cause"] for line in lines) == ["client_closed"] * 2 + ["tls"] * 4
        assert proxy.metric("l5d_srv_tls_failures_total", cause="no_certificate") == 2
        assert proxy.metric("l5d_srv_tls_failures_total", cause="unknown_ca") == 2


def test_an_optional_client_certificate_may_be_left_out_but_not_forged(tmp_path: Path, ca: Authority) -> None:
    auth = {"mode": "optional", "trustCerts": [str(ca.cert)]}
    stranger = Authority(tmp_path / "stranger", "another authority").sign("caller")
    with nginx(tmp_path) as [port], Proxy(tmp_path, conf(ca, [f"127.0.0.1:{port}"], clientAuth=auth)) as proxy:
        options = [*at(proxy.port(), ca.cert), "https://default.example/"]
        for more in ([], ["--cert", files(ca, "caller")[1], "--key", files(ca, "caller")[0]]):
            done = curl(*options, *more)
            assert (done.returncode, done.stdout) == (0, "nginx\n"), done.stderr
        assert curl(*options, "--cert", stranger[1], "--key", stranger[0]).returncode in (35, 56)


def test_a_resumed_session_still_says_who_is_calling(tmp_path: Path, ca: Authority) -> None:
    auth = {"mode": "required", "trustCerts": [str(ca.cert)]}
    identifier = {"kind": "io.l5d.clientCert", "prefix": "/svc"}
    server = {"port": 0, "tls": tls(ca, clientAuth=auth), "identifier": identifier}
    with Backend("b") as backend:
        made = config(servers=[server], namers=static({"caller.example": [backend.address]}))
        with Proxy(tmp_path, made) as proxy:
            key, cert = files(ca, "caller")
            for flag in ("-tls1_2", "-tls1_3"):
                session = tmp_path / f"session{flag}"
                shown = ["-cert", cert, "-key", key, flag]
                # In TLS 1.3 the ticket comes after the handshake, so somebody must be reading by then.
                first = _talk(proxy.port(), *shown, "-sess_out", session)
                assert "b hello" in first, first
                again = Handshake(proxy.port(), *shown, "-sess_in", session)
                assert again.resumed, again.said
            lines = proxy.closed(4)
            assert {(line["path"], line["endpoint"]) for line in lines} == {("/svc/caller.example", backend.address)}


def _talk(port: int, *arguments: object, said: Sequence[bytes] = (b"hello\n",)) -> str:
    """All that `openssl s_client` prints while each line is answered before the next is said.

    K and k alone on a line are its own commands: new keys, and new keys on both sides. They have no answer.
    """
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin
        assert process.stdout
        printed = b""
        for line in said:
            process.stdin.write(line)
            process.stdin.flush()
            awaited = b"KEYUPDATE" if line in (b"K\n", b"k\n") else b"b " + line
            before = len(printed)
            while awaited not in printed[before:] and (piece := process.stdout.readline()):
                printed += piece
        process.stdin.close()
        return (printed + process.stdout.read()).decode()


# Files that change, and wrong ones


def test_a_renewed_certificate_serves_within_a_second_and_a_broken_one_keeps_the_last_good(
    tmp_path: Path, ca: Authority
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    first, second = ca.sign("first.example"), ca.sign("second.example", days=1)
    _install(first, key, cert)
    server = {"tls": {"defaultIdentity": identity(key, cert)}}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], server=server)) as proxy:
        assert Handshake(proxy.port()).common_name == "first.example"
        expiry = proxy.metric("l5d_tls_certificate_not_after_timestamp_seconds", identity="*")
        assert expiry == _not_after(first[1])

        _install(second, key, cert)
        began = time.monotonic()
        until("the renewed one is shown", lambda: Handshake(proxy.port()).common_name == "second.example", 1.5)
        assert time.monotonic() - began < 1.5  # a second, and a handshake's own time
        until(
            "its expiry is told",
            lambda: proxy.metric("l5d_tls_certificate_not_after_timestamp_seconds") == _not_after(second[1]),
        )

        cert.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
        until("it is said", lambda: re.search(rf"not used.*{re.escape(str(cert))}", proxy.log))
        assert Handshake(proxy.port()).common_name == "second.example"

        _install(first, key, cert)
        until("mended", lambda: Handshake(proxy.port()).common_name == "first.example", 1.5)


def _install(files: tuple[Path, Path], key: Path, cert: Path) -> None:
    """The two as renewal tools put them: each renamed into place."""
    for source, target in zip(files, (key, cert), strict=True):
        fresh = target.with_suffix(".new")
        fresh.write_bytes(source.read_bytes())
        fresh.replace(target)


def _not_after(cert: Path) -> float:
    said = openssl("x509", "-enddate", "-noout", "-in", cert)
    return float(ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter=")))


def test_connections_outlive_the_renewal_of_the_certificate(tmp_path: Path, ca: Authority) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    _install(ca.sign("first.example"), key, cert)
    server = {"tls": {"defaultIdentity": identity(key, cert)}}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], server=server)) as proxy:
        context = ssl.create_default_context(cafile=str(ca.cert))
        with (
            socket.create_connection(proxy.address, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="first.example") as held,
        ):
            held.sendall(b"before\n")
            assert held.recv(100) == b"b before\n"
            _install(ca.sign("second.example"), key, cert)
            until("renewed", lambda: Handshake(proxy.port()).common_name == "second.example")
            held.sendall(b"after\n")
            assert held.recv(100) == b"b after\n"


def test_a_reload_adds_identities_and_a_wrong_one_changes_nothing(tmp_path: Path, ca: Authority) -> None:
    with Backend("b") as backend:
        made = conf(ca, [backend.address])
        [server] = made["routers"][0]["servers"]
        server["port"] = free_port()
        with Proxy(tmp_path, made) as proxy:

            def shown() -> str:
                return Handshake(proxy.port(), "-servername", "www.example.com").common_name

            assert shown() == "default.example"
            server["tls"] = tls(ca, "www.example.com")
            proxy.write(made)
            status, said = proxy.post("/reload")
            assert status == 200, said
            assert shown() == "www.example.com"
            (tmp_path / "wrong.key").write_text("nothing\n")
            server["tls"]["defaultIdentity"]["privateKey"] = "wrong.key"
            proxy.write(made)
            status, said = proxy.post("/reload")
            assert status == 422
            assert re.search(r"config\.yml:\d+:\d+: routers\[0\]\.servers\[0\]\.tls\b.*wrong\.key", said), said
            assert shown() == "www.example.com"
            del server["tls"]
            proxy.write(made)
            status, said = proxy.post("/reload")
            assert status == 200, said
            assert visit(proxy.address) == {"b": 1}


def test_a_certificate_is_renewed_as_a_kubernetes_secret_is(tmp_path: Path, ca: Authority) -> None:
    folder = tmp_path / "secret"
    folder.mkdir()
    for number, name in enumerate(("first.example", "second.example")):
        (folder / f"..{number}").mkdir()
        _install(ca.sign(name), folder / f"..{number}" / "tls.key", folder / f"..{number}" / "tls.crt")
    (folder / "..data").symlink_to("..0")
    for name in ("tls.key", "tls.crt"):
        (folder / name).symlink_to(f"..data/{name}")
    server = {"tls": {"defaultIdentity": identity(folder / "tls.key", folder / "tls.crt")}}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], server=server)) as proxy:
        assert Handshake(proxy.port()).common_name == "first.example"
        (folder / "..fresh").symlink_to("..1")
        (folder / "..fresh").replace(folder / "..data")
        until("the renewed one is shown", lambda: Handshake(proxy.port()).common_name == "second.example", 1.5)
        # Both files changed in one step: at no time did they not match.
        assert "not used" not in proxy.log


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("none", "file not there"),
        ("public", "PUBLIC KEY"),
        ("another", "does not match"),
        ("der", "DER"),
        ("encrypted", "passwordFile"),
        ("two", "2 private keys"),
    ],
)
def test_a_wrong_key_file_ends_the_start_with_its_place_and_the_file(
    tmp_path: Path, ca: Authority, wrong: str, said: str
) -> None:
    good, cert = files(ca, "default.example")
    key = tmp_path / "wrong.key"
    if wrong == "public":
        openssl("pkey", "-in", good, "-pubout", "-out", key)
    elif wrong == "another":
        key.write_bytes(files(ca, "caller")[0].read_bytes())
    elif wrong == "der":
        openssl("pkey", "-in", good, "-outform", "DER", "-out", key)
    elif wrong == "encrypted":
        openssl("pkey", "-in", good, "-aes256", "-passout", "pass:x", "-out", key)
    elif wrong == "two":
        key.write_bytes(good.read_bytes() + files(ca, "caller")[0].read_bytes())
    path = tmp_path / "config.yml"
    path.write_text(
        "namers: [{kind: io.l5d.static, services: {default: []}}]\n"
        "routers:\n- label: default\n  servers:\n  - port: 0\n    dstName: /svc/default\n    tls:\n"
        f"      defaultIdentity: {{privateKey: wrong.key, certs: [{cert}]}}\n"
    )
    for options in ([], ["--check"]):
        done = run(tmp_path, *options, "config.yml")
        assert done.returncode == 2, done.stdout + done.stderr
        [line] = [line for line in (done.stdout + done.stderr).splitlines() if str(key) in line]
        assert re.match(r"config\.yml:\d+:\d+: routers\[0\]\.servers\[0\]\.tls\b", line), line
        assert said in line, line
        assert "Traceback" not in done.stderr

"""What strangers choose stays text: every page of the real process has the elements with it that it has without."""

import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

from tests.system.harness import ADMIN, Proxy, until
from tests.system.peers import Backend

EVIL = "<img src=x onerror=alert(1)>\"'&{{7*7}}\u202e\u0007\u2028"
HARMLESS = "!" + "a" * (len(EVIL.encode()) - 1)
"""No server name either."""
HTML = b"Accept: text/html\r\nConnection: close\r\n"
INVISIBLE = re.compile(r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
FIELDS = re.compile(r"<(?:input|option)[^>]*>|<textarea.*?</textarea>", re.DOTALL)
"""What is sent back as it came."""


class Elements(HTMLParser):
    """How often each element stands in a page, with the names of its attributes; and whatever could run."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.running: list[tuple[str, str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(sorted({name for name, _ in attrs} - {"title", "hidden", "open", "value"}))] += 1
        for name, value in attrs:
            scheme = re.match(r"\s*([a-z]+):", value or "", re.IGNORECASE)
            if name.startswith("on") or name == "style" or (name in ("href", "src", "action") and scheme):
                self.running.append((tag, name, value))


def admin_address(proxy: Proxy) -> tuple[str, int]:
    found = ADMIN.search(proxy.log)
    assert found is not None
    return found[1], int(found[2])


def page(proxy: Proxy, target: str, *headers: bytes) -> tuple[int, str]:
    """Status and body, as a browser asks for it."""
    host = b"" if any(each.lower().startswith(b"host:") for each in headers) else b"Host: localhost\r\n"
    with socket.create_connection(admin_address(proxy), timeout=20) as client:
        lines = b"".join(each + b"\r\n" for each in headers)
        # HTTP/1.0: the answer is not in chunks, and ends with the connection.
        client.sendall(f"GET {target} HTTP/1.0\r\n".encode() + host + lines + HTML + b"\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def hello(server_name: bytes) -> bytes:
    """A ClientHello that asks for any bytes at all."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    stand_in = "b" * 30 + "." + "b" * (len(server_name) - 31)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=stand_in).do_handshake()
    found = outgoing.read()
    assert found.count(stand_in.encode()) == 1
    return found.replace(stand_in.encode(), server_name)


def proxied(authority: bytes) -> bytes:
    """A PROXY header, version 2, with that authority and as unique id."""
    tlvs = b"".join(bytes([kind]) + struct.pack("!H", len(authority)) + authority for kind in (2, 5))
    body = socket.inet_aton("10.1.2.3") + socket.inet_aton("10.3.2.1") + struct.pack("!HH", 1234, 80) + tlvs
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body


def label(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def configured(text: str, backend: Backend) -> str:
    in_yaml = '"' + text.translate({34: '\\"', 7: "\\a", 0x202E: "\\u202e", 0x2028: "\\L"}) + '"'
    return f"""
admin: {{port: 0}}
namers:
- {{kind: io.l5d.fs, rootDir: disco}}
- kind: io.l5d.static
  services: {{{in_yaml}: ["{backend.address}"]}}
routers:
- label: default
  dtab: |
    /svc => /#/io.l5d.fs ;
    /svc/file => /#/io.l5d.fs/{label(text)} ;
    /svc/named => /#/io.l5d.static/{label(text)} ;
    /{label(text)} => /svc ;
  servers:
  - {{port: 0, dstName: /svc/named}}
  - {{port: 0, dstName: /svc/file}}
  - {{port: 0, identifier: {{kind: io.l5d.sni}}, detectTimeoutMs: 2000}}
  - port: 0
    identifier: {{kind: io.l5d.proxyAuthority}}
    proxyProtocol: {{trusted: [127.0.0.0/8]}}
"""


@contextmanager
def world(folder: Path, text: str, backend: Backend) -> Iterator[Proxy]:
    """Everything that a stranger, or a file, may say is `text`."""
    folder.mkdir()
    (folder / "disco").mkdir()
    (folder / "disco" / f"{text}.yml").write_text(f"{text}: no endpoints\n")
    with Proxy(folder, configured(text, backend), environment={"LINKERD_TCP_LOG": "debug"}) as proxy:
        until("four listeners", lambda: len(re.findall("^serving", proxy.log, re.M)) == 4)
        for index, said in enumerate((b"x\n", b"x\n", hello(text.encode()), proxied(text.encode()))):
            with socket.create_connection(("127.0.0.1", proxy.port(index=index)), timeout=10) as client:
                client.sendall(said)
                with suppress(ConnectionError):
                    client.recv(1000)
        until("all have ended", lambda: len(proxy.get_json("/connections.json?state=closed")["connections"]) == 4)
        yield proxy


def pages(proxy: Proxy, text: str) -> dict[str, tuple[int, str]]:
    """By what was asked for, the same for every text."""
    said = quote(text, safe="")
    ids = [row["id"] for row in proxy.get_json("/connections.json")["connections"]]
    targets = {
        "/": "/",
        "connections": "/connections",
        "filtered": f"/connections?source={said}&path={said}&endpoint={said}&cause={said}",
        "delegated": f"/delegator?router=default&path={said}&dtab={said}",
        "delegated file": "/delegator?router=default&path=/svc/file",
        "configuration": "/configuration",
        "help": "/help",
        "not there": f"/{said}",
        "raw": "/<b>" if text == EVIL else "/aaa",
        "no connection": f"/connections/{said}",
        "no worker": f"/metrics?worker={said}",
        "no level": f"/logging?level={said}&logger={said}",
        "logging": "/logging",
    }
    targets |= {f"story {index}": f"/connections/{id_}" for index, id_ in enumerate(sorted(ids))}
    headers = (
        b"Referer: http://" + text.encode(),
        b"User-Agent: " + text.encode(),
        b"X-Forwarded-For: " + text.encode(),
    )
    clean = [each.replace(b"\x07", b"") for each in headers]
    return {name: page(proxy, target, *clean) for name, target in targets.items()}


def test_hostile_values_are_text_on_every_page(tmp_path: Path) -> None:
    with Backend("b0") as backend:
        with world(tmp_path / "harmless", HARMLESS, backend) as proxy:
            usual = pages(proxy, HARMLESS)
        with world(tmp_path / "hostile", EVIL, backend) as proxy:
            found = pages(proxy, EVIL)
            status, words = page(proxy, "/", b"Host: " + EVIL.replace("\u0007", "").encode())
    assert (status, "l5d-token" in words) == (403, False)
    # What there is to be afraid of did come in, and is shown.
    afraid = {name for name, (_, text) in found.items() if "onerror" in text}
    assert afraid >= {
        "/",
        "connections",
        "filtered",
        "story 1",
        "story 2",
        "story 3",
        "delegated",
        "configuration",
        "logging",
    }
    for name, (status, text) in found.items():
        assert status == usual[name][0], name
        shown = FIELDS.sub("", text)
        assert not (at := INVISIBLE.search(shown)), (name, shown[max(0, at.start() - 80) : at.end() + 20])
        elements = Elements(text)
        assert elements.running == [], name
        assert {tag for tag, _ in elements.found} & {"img", "iframe", "object", "embed"} == set(), name
        if name != "logging":  # as many lines as it has, which is a matter of time
            assert elements.found == Elements(usual[name][1]).found, name
        assert {key for key, _ in elements.found.items()} <= {
            key for key, _ in Elements(usual[name][1]).found.items()
        }, name

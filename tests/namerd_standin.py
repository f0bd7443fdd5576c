"""A stand-in of linkerd's namerd for tests of its clients: its HTTP API with its shapes, statuses and streams.

In the test's process: `with Namerd() as namerd: namerd.bind("/svc/web", leaf("/#/io.l5d.fs/web")) ...`.
As a process of its own, to be killed, stopped and started again on the same port:
`python -m tests.namerd_standin --port N [--state FILE]`, where FILE (JSON of `State.to_json`) is read at start, and
PUT /_test/state replaces the state, PUT /_test/faults the faults (a list of `FaultRule`), PUT /_test/cut closes every
connection, GET /_test/figures tells who asked what.
"""

import argparse
import contextlib
import json
import signal
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer

from tests.namerd_faults import ENDS, HEADS, LAST_CHUNK, SHAPES, STREAM_HEAD, Write, chunk
from tests.namerd_state import NEG, PENDING, Json, State, chosen_id, leaves

DELEGATE_SECS = 2.0
_TRUE = {"1", "t", "true"}
_CLOSED = (ConnectionError, OSError, gevent.GreenletExit)


@dataclass(slots=True)
class FaultRule:
    """`kind` is of `tests.namerd_faults`, `endpoint` bind, addr, ... or * for all. `times`: for so many requests.

    `after`: so many documents of a stream are well before it.
    """

    kind: str
    endpoint: str = "*"
    times: int | None = None
    after: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    method: str
    target: str
    endpoint: str
    namespace: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    chosen: tuple[Json, str | None] | None = None
    """What `resolve` chose, and of which tree: a stream chooses again only when that changes."""

    @property
    def watch(self) -> bool:
        return self.query.get("watch", "").lower() in _TRUE

    @property
    def kind(self) -> str:
        """As it is counted: `bind`, `bind watch`, ..."""
        return f"{self.endpoint} watch" if self.watch else self.endpoint


class Namerd:
    """Listens from `with` to its end, or between `listen` and `stop_listening`, always on the same port.

    `requests` counts by kind (`bind`, `addr watch`), `streams` what is being answered now, `asked` is every target
    in order, `connections` how many are open, `accepted` how many ever were.
    """

    def __init__(self, port: int = 0, cert: Path | None = None, key: Path | None = None) -> None:
        self.state = State()
        self.requests: Counter[str] = Counter()
        self.streams: Counter[str] = Counter()
        self.asked: list[str] = []
        self.accepted = 0
        self.port = port
        self._tls: ssl.SSLContext | None = None
        if cert is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(cert, key)
        self._rules: list[FaultRule] = []
        self._changed = Event()
        self._pool = Pool(20_000)
        self._server: StreamServer | None = None

    # What it is told

    def bind(self, path: str, tree: Json, namespace: str = "default") -> None:
        """What `path` is bound to; watches are told."""
        self.state.binds.setdefault(namespace, {})[path] = tree
        self.tell()

    def addr(self, bound_id: str, addr: Json) -> None:
        """The addresses of a bound id; watches are told."""
        self.state.addrs[bound_id] = addr
        self.tell()

    def tell(self) -> None:
        """Wake every watch, after a change of `state`."""
        changed, self._changed = self._changed, Event()
        changed.set()

    def fault(
        self, kind: str, endpoint: str = "*", *, times: int | None = None, after: int = 0, **arguments: Any
    ) -> None:
        """From the next request on; the first rule that fits is applied. Streams that are open are not changed."""
        assert kind in HEADS | ENDS | SHAPES, kind
        self._rules.append(FaultRule(kind, endpoint, times, after, arguments))

    def heal(self) -> None:
        """No more faults for the next requests."""
        self._rules.clear()

    def cut(self) -> None:
        """Close every connection that is open, in whatever state it is."""
        gevent.sleep(0)  # one that was accepted in this very turn is to begin first: then it closes its socket
        self._pool.kill()

    # Its life

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._pool)

    def listen(self) -> None:
        self._server = StreamServer(("127.0.0.1", self.port), self._serve, spawn=self._pool, backlog=1024)
        self._server.start()
        self.port = self._server.server_port

    def stop_listening(self) -> None:
        """New connections are refused; those that are open stay."""
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_listening()
        self.cut()

    # One connection

    def _serve(self, sock: Any, _: object) -> None:
        self.accepted += 1
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with contextlib.suppress(*_CLOSED), contextlib.closing(sock), sock.makefile("rb") as lines:
            if self._tls is not None:
                sock.do_handshake()
            while request := _read(lines):
                watcher = gevent.spawn(_kill_at_end, sock, gevent.getcurrent())
                try:
                    if not self._answered(request, sock.sendall):
                        return
                finally:
                    watcher.kill()

    def _answered(self, request: Request, write: Write) -> bool:
        """Whether the connection can have another request."""
        if request.endpoint == "_test":
            write(_whole(200, self._control(request)))
            return True
        self.requests[request.kind] += 1
        self.asked.append(request.target)
        self.streams[request.kind] += 1
        try:
            return self._answer(request, write)
        finally:
            self.streams[request.kind] -= 1

    def _answer(self, request: Request, write: Write) -> bool:
        rule = self._rule(request.endpoint)
        if rule and rule.kind in HEADS:
            HEADS[rule.kind](write, b"", rule.arguments)
            return False
        if refusal := _refusal(request):
            write(refusal)
            return True
        if request.endpoint in ("dtab", "dtabs") and not request.watch:
            write(self._dtabs(request))
            return True
        if not (request.watch or rule):
            write(self._once(request))
            return True
        write(STREAM_HEAD)
        if rule and rule.kind in ENDS and not rule.after and rule.kind in ("headers", "error_line", "empty"):
            ENDS[rule.kind](write, b"", rule.arguments)  # even where there is no document yet
            return False
        return self._stream(request, write, rule)

    def _once(self, request: Request) -> bytes:
        if request.endpoint == "delegate":
            with gevent.Timeout(DELEGATE_SECS, False):
                _, document = self._next(request, None)
                return _whole(200, document, "application/json")
            return _whole(503, b"timed out")
        _, document = self._next(request, None)
        return _whole(200, document + b"\n", "application/json" if request.endpoint == "resolve" else None)

    def _stream(self, request: Request, write: Write, rule: FaultRule | None) -> bool:
        last, sent = None, 0
        while True:
            last, text = self._next(request, last)
            document = text + b"\n"
            if rule is None or sent < rule.after:
                write(chunk(document))
            elif rule.kind in ENDS:
                ENDS[rule.kind](write, document, rule.arguments)
                return False
            else:
                SHAPES[rule.kind](write, document, rule.arguments)
            sent += 1
            if not request.watch:
                write(LAST_CHUNK)
                return True
            if rule and sent == rule.after and rule.kind in ENDS:
                ENDS[rule.kind](write, document, rule.arguments)
                return False

    def _next(self, request: Request, last: object) -> tuple[object, bytes]:
        """The next (what makes it new, document) of a watch, waited for; pending is silence."""
        while True:
            changed = self._changed
            key, document = self._document(request)
            if document is not None and key != last:
                return key, json.dumps(document, separators=(",", ":")).encode()
            changed.wait()

    def _document(self, request: Request) -> tuple[object, Any]:
        path = request.query.get("path", "")
        match request.endpoint:
            case "addr":
                addr = self.state.addr(path)
            case "resolve":
                addr = self._resolved(request, path)
            case "bind":
                # A watch is told of trees and ids; addresses in them are those of that moment.
                document = self.state.bind_document(request.namespace, path)
                return (None if document is None else _ids(document)), document
            case "delegate":
                document = self.state.delegate_document(request.namespace, path)
                return document, document
            case "dtabs":
                return list(self.state.dtabs), list(self.state.dtabs)
            case _:
                text = self.state.dtabs.get(request.namespace)
                return text, None if text is None else _dentries(text)
        return addr, None if addr == PENDING else addr

    def _resolved(self, request: Request, path: str) -> Json:
        tree = self.state.tree(request.namespace, path)
        if tree == PENDING:
            return PENDING
        if request.chosen is None or request.chosen[0] != tree:
            request.chosen = (tree, chosen_id(tree))
        found = request.chosen[1]
        return NEG if found is None else self.state.addr(found)

    def _dtabs(self, request: Request) -> bytes:
        if request.endpoint == "dtabs":
            return _whole(200, json.dumps(sorted(self.state.dtabs)).encode(), "application/json")
        text = self.state.dtabs.get(request.namespace)
        if text is None:
            return _whole(404, b"")
        return _whole(200, json.dumps(_dentries(text)).encode() + b"\n", "application/json")

    # Faults and control

    def _rule(self, endpoint: str) -> FaultRule | None:
        for rule in self._rules:
            if rule.endpoint in ("*", endpoint) and rule.times != 0:
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def _control(self, request: Request) -> bytes:
        match request.method, request.namespace:
            case "PUT", "state":
                self.state.replace(json.loads(request.body))
                self.tell()
            case "PUT", "faults":
                self._rules = [FaultRule(**each) for each in json.loads(request.body)]
            case "PUT", "cut":
                for each in set(self._pool) - {gevent.getcurrent()}:
                    each.kill(block=False)
        shown = {"requests": self.requests, "streams": +self.streams, "connections": self.connections}
        return json.dumps({**shown, "accepted": self.accepted, "asked": self.asked[-1000:]}).encode()


def _ids(tree: Json) -> Json:
    """The tree without the addresses in it."""
    copy = json.loads(json.dumps(tree))
    for name in leaves(copy):
        del name["addr"]
    return copy


def _dentries(text: str) -> list[dict[str, str]]:
    pairs = (entry.split("=>") for entry in text.split(";") if entry.strip())
    return [{"prefix": prefix.strip(), "dst": dst.strip()} for prefix, dst in pairs]


def _refusal(request: Request) -> bytes | None:
    """namerd's answer to what it does not serve: None if it does."""
    if not request.endpoint or (not request.namespace and request.endpoint in ("bind", "addr", "resolve")):
        return _whole(404, b"")
    if request.endpoint not in ("bind", "addr", "resolve", "delegate"):
        return None
    path = request.query.get("path")
    if path is None or (
        "dtab" in request.query and "=>" not in request.query["dtab"] and request.query["dtab"].strip()
    ):
        return _whole(500, b"java.lang.Exception")
    if not path.startswith("/") or (path != "/" and (path.endswith("/") or "//" in path)):
        return _whole(400, f"Invalid path: {path} / '/' expected".encode())
    return None


def _whole(code: int, body: bytes, content_type: str | None = None) -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {code} Namerd\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _read(lines: Any) -> Request | None:
    """One request; None at the end of the connection."""
    first = lines.readline(65536).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while (line := lines.readline(65536).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    url = urlsplit(first[1])
    query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    endpoint, namespace = _split(unquote(url.path))
    return Request(first[0], first[1], endpoint, namespace or query.get("namespace", ""), query, headers, body)


def _split(path: str) -> tuple[str, str]:
    """(endpoint, the rest) of a path; no endpoint where namerd has none."""
    if path.startswith("/_test/"):
        return "_test", path.removeprefix("/_test/")
    if path in ("/api/1/dtabs", "/api/1/dtabs/"):
        return "dtabs", ""
    for name, endpoint in (("dtabs", "dtab"), *((each, each) for each in ("bind", "addr", "resolve", "delegate"))):
        if path.startswith(f"/api/1/{name}/"):
            return endpoint, path.removeprefix(f"/api/1/{name}/")
    return ("delegate", "") if path == "/api/1/delegate" else ("", "")


def _kill_at_end(sock: Any, greenlet: gevent.Greenlet) -> None:
    """End the greenlet that answers when its client goes; a client says nothing while it is being answered."""
    with contextlib.suppress(OSError):
        sock.recv(1)
    greenlet.kill(block=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--cert", type=Path)
    parser.add_argument("--key", type=Path)
    options = parser.parse_args(arguments)
    namerd = Namerd(options.port, options.cert, options.key)
    if options.state:
        namerd.state.replace(json.loads(options.state.read_text()))
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    with namerd:
        print(f"namerd stand-in on {namerd.base_url}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()

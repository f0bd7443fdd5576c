"""A DNS server on the loopback that answers from a table, and badly on demand."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import gevent
from dns.rdatatype import RdataType
from gevent.pool import Pool
from gevent.server import DatagramServer, StreamServer

SOA = "ns.example. admin.example. 1 3600 600 86400 {}"
MAX_UDP_BYTES = 1232


class DnsServer:
    """Answers UDP and TCP on one port. `fault` is what it does instead: to every question, or to those of the type
    `fault_of` and of names that end with `fault_under`.

    drop, slow, servfail, refused, formerr (unless asked without EDNS), wrong_id, flood (wrong ids without end),
    garbage, bad_pointer, pointer_loop, other_question, short (cut in the middle), lame, alias_loop; and of TCP:
    truncate (everything has to come by TCP), and besides tcp_silent, tcp_drip, tcp_closes, tcp_truncated.
    """

    def __init__(self, port: int = 0, ip: str = "127.0.0.1") -> None:
        self.fault = ""
        self.fault_of: RdataType | None = None
        self.fault_under = ""
        self.slow_secs = 0.2
        self.soa_minimum: int | None = 5
        self.queries: list[tuple[str, str, str]] = []
        """Name, type and `udp` or `tcp` of each question."""
        self._table: dict[tuple[dns.name.Name, RdataType], tuple[int, list[str]]] = {}
        udp, tcp = _sockets(ip, port)
        self.ip, self.port = udp.getsockname()[:2]
        self._udp = DatagramServer(udp, self._datagram, spawn=Pool())
        self._tcp = StreamServer(tcp, self._stream, spawn=Pool())
        self._udp.start()
        self._tcp.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._udp.stop(timeout=0)
        self._tcp.stop(timeout=0)

    def stop_tcp(self) -> None:
        """Nobody listens there any more."""
        self._tcp.stop(timeout=0)

    @property
    def address(self) -> str:
        """As the configuration says it."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def set(self, name: str, rdtype: str, *values: str, ttl: int = 60) -> None:
        """The records of that name and type; none of them: there are none."""
        key = (dns.name.from_text(name), dns.rdatatype.from_text(rdtype))
        self._table[key] = (ttl, list(values))
        if not values:
            del self._table[key]

    def asked(self, name: str = "", rdtype: str = "", over: str = "") -> int:
        """How many questions there were like this."""
        wanted = (name, rdtype, over)
        return sum(
            all(not want or want == got for want, got in zip(wanted, query, strict=True)) for query in self.queries
        )

    # -- transport

    def _datagram(self, data: bytes, client: Any) -> None:
        with suppress(OSError):
            for answer in self._answers(data, "udp"):
                self._udp.sendto(answer, client)

    def _stream(self, sock: Any, _: Any) -> None:
        with sock, suppress(OSError, struct.error):
            (length,) = struct.unpack("!H", sock.recv(2))
            data = sock.recv(length)
            if self.fault == "tcp_silent":
                gevent.sleep(60)
            if self.fault == "tcp_closes":
                return
            for answer in self._answers(data, "tcp"):
                message = struct.pack("!H", len(answer)) + answer
                if self.fault != "tcp_drip":
                    sock.sendall(message)
                    continue
                for index in range(len(message)):
                    sock.sendall(message[index : index + 1])
                    gevent.sleep(0.05)

    # -- what is said

    def _answers(self, data: bytes, over: str) -> Iterator[bytes]:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.queries.append((question.name.to_text(True), dns.rdatatype.to_text(question.rdtype), over))
        is_hit = self.fault_of in (None, question.rdtype) and self.queries[-1][0].endswith(self.fault_under)
        fault = self.fault if is_hit else ""
        if fault == "drop":
            return
        if fault == "slow":
            gevent.sleep(self.slow_secs)
        good = self._good(query, fault)
        if fault == "flood":
            for number in range(5000):
                yield struct.pack("!H", (query.id + 1 + number % 60000) & 0xFFFF) + good[2:]
                gevent.sleep(0 if number % 10 else 0.001)
        elif fault == "wrong_id":
            yield struct.pack("!H", query.id ^ 1) + good[2:]
        else:
            yield self._spoilt(query, good, fault, over)

    def _spoilt(self, query: Any, good: bytes, fault: str, over: str) -> bytes:
        header = good[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
        question = query.to_wire()[12 : 12 + len(query.question[0].name.to_wire()) + 4]
        record = b"\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
        match fault:
            case "garbage":
                return bytes(range(7, 250))
            case "bad_pointer":
                return header + question + b"\xff\xff" + record
            case "pointer_loop":
                return header + question + struct.pack("!H", 0xC000 | (12 + len(question))) + record
            case "short":
                return good[:-3]
            case "truncate" | "tcp_silent" | "tcp_drip" | "tcp_closes" if over == "udp":
                return good[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + question
            case "tcp_truncated":
                return good[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + question
        if over == "udp" and len(good) > MAX_UDP_BYTES:
            return good[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + question
        return good

    def _good(self, query: Any, fault: str) -> bytes:
        answer = dns.message.make_response(query, recursion_available=True)
        name, rdtype = query.question[0].name, query.question[0].rdtype
        match fault:
            case "servfail" | "refused":
                answer.set_rcode(dns.rcode.from_text(fault.upper()))
                return answer.to_wire()
            case "formerr" if query.edns >= 0:
                return struct.pack("!HHHHHH", query.id, 0x8181, 0, 0, 0, 0)
            case "other_question":
                answer.question[0] = dns.rrset.RRset(dns.name.from_text("other.example"), 1, rdtype)
                return answer.to_wire()
            case "lame":
                answer.authority.append(dns.rrset.from_text("example.", 60, "IN", "NS", "ns.elsewhere."))
                return answer.to_wire()
            case "alias_loop":
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "a.example."))
                answer.answer.append(dns.rrset.from_text("a.example.", 60, "IN", "CNAME", str(name)))
                return answer.to_wire()
        self._fill(answer, name, rdtype)
        return answer.to_wire(max_size=65535)

    def _fill(self, answer: Any, name: dns.name.Name, rdtype: RdataType) -> None:
        for _ in range(5):
            alias = self._table.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            answer.answer.append(dns.rrset.from_text(name, alias[0], "IN", "CNAME", alias[1][0]))
            name = dns.name.from_text(alias[1][0])
            if len(alias[1]) > 1:
                return  # "nofollow": what it leads to has to be asked for
        found = self._table.get((name, rdtype))
        if found is not None:
            answer.answer.append(dns.rrset.from_text_list(name, found[0], "IN", rdtype, found[1]))
            return
        if all(known != name for known, _ in self._table):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if self.soa_minimum is not None:
            answer.authority.append(dns.rrset.from_text("example.", 3600, "IN", "SOA", SOA.format(self.soa_minimum)))


def _sockets(ip: str, port: int) -> tuple[socket.socket, socket.socket]:
    """One for UDP and one for TCP on the same port, which somebody else may have of either."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    for _ in range(20):
        udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
        try:
            udp.bind((ip, port))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((ip, udp.getsockname()[1]))
            tcp.listen()
        except OSError:
            udp.close()
            tcp.close()
            continue
        return udp, tcp
    raise OSError(f"{ip} has no port {port or 'at all'} that is free for both UDP and TCP")


@contextmanager
def dns_servers(number: int) -> Iterator[list[DnsServer]]:
    """Several of them."""
    servers = [DnsServer() for _ in range(number)]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()

"""A thousand clients in a process of their own: `python -m tests.controller.watchers PORT NUMBER TARGET`.

Writes `ready` when each has read its first document; then, for each line on standard input, how long after that line
the last of them had read the next document, and that document if all have the same.
"""

import select
import socket
import sys
import time


def main(port: int, number: int, target: str) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(number)]
    for client in clients:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    for client in clients:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
    rest = dict.fromkeys(clients, b"")
    poll = select.epoll()
    by_number = {client.fileno(): client for client in clients}
    for descriptor in by_number:
        poll.register(descriptor, select.EPOLLIN)

    def next_documents(secs: float) -> set[bytes]:
        """The next chunk of each client; AssertionError where one does not come."""
        waiting, documents, until = set(clients), set(), time.monotonic() + secs
        while waiting:
            left = until - time.monotonic()
            assert left > 0, f"{len(waiting)} of {number} have heard nothing"
            for descriptor, _ in poll.poll(left):
                client = by_number[descriptor]
                data = client.recv(65536)
                assert data, "a stream ended"
                rest[client] += data
                if rest[client].endswith(b"\n\r\n"):
                    assert client in waiting, "more than one document"
                    waiting.discard(client)
                    documents.add(rest[client].splitlines()[1])
                    rest[client] = b""
        return documents

    next_documents(20)
    print("ready", flush=True)
    for line in sys.stdin:
        began = float(line)
        documents = next_documents(10)
        print(time.time() - began, len(documents), documents.pop().decode(), flush=True)


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

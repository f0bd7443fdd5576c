from _socket import socket as Socket

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.static import StaticIdentifierConfig
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.peek import FirstBytes


def test_every_connection_has_the_one_destination() -> None:
    identifier = StaticIdentifierConfig(path=Path.read("/svc/web")).build()
    nowhere = Socket()  # not even looked at
    for port in (1, 2):
        envelope = Envelope(source=("10.0.0.1", port), local=("10.0.0.2", 80), deadline=0.0)
        assert identifier.identify(envelope, FirstBytes(nowhere, 0.0)) == Path.read("/svc/web")
    nowhere.close()

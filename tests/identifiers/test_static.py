from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.static import StaticIdentifierConfig
from linkerd_tcp.naming.path import Path


def test_every_connection_has_the_one_destination() -> None:
    identifier = StaticIdentifierConfig(path=Path.read("/svc/web")).build()
    for port in (1, 2):
        envelope = Envelope(source=("10.0.0.1", port), local=("10.0.0.2", 80), deadline=0.0)
        assert identifier.identify(envelope) == Path.read("/svc/web")

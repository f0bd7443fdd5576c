from linkerd_tcp.identifiers.local_address import LocalAddressConfig
from linkerd_tcp.naming.path import Path
from tests.identifiers.callers import Caller


def test_the_port_that_was_called_is_the_destination(caller: Caller) -> None:
    assert caller.identify(LocalAddressConfig(), local=("10.0.0.2", 5432)) == Path.read("/svc/5432")
    assert caller.identify(LocalAddressConfig(prefix=Path.read("/db")), local=("::1", 6379)) == Path.read("/db/6379")

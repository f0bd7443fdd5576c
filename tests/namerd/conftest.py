from collections.abc import Callable, Iterator
from typing import Any

import pytest

from linkerd_tcp.namerd.client import NamerdClient
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.naming.addr import Addr, Address, Bound
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from tests.namerd_standin import Namerd

MakeClient = Callable[..., NamerdClient]
RETRY = {"baseSeconds": 0.02, "maxSeconds": 0.1}


def itself(host: str) -> Watch[Addr]:
    """Of an address written out."""
    return Var[Addr](Bound((Address(host, 0),)))


@pytest.fixture
def namerd(no_leaks: None) -> Iterator[Namerd]:
    with Namerd() as standin:
        yield standin


@pytest.fixture
def make(namerd: Namerd) -> Iterator[MakeClient]:
    """Makes clients of `namerd`, and closes them; options are keys of the configuration."""
    made = []

    def client(**options: Any) -> NamerdClient:
        wanted = {"baseUrl": namerd.base_url, "retry": RETRY, **options}
        made.append(NamerdClient(NamerdOptions.model_validate(wanted), Path(("namerd",)), "io.l5d.namerd.http", itself))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def client(make: MakeClient) -> NamerdClient:
    return make()

"""The options of `io.l5d.dns` and `io.l5d.dnssrv`: which servers to ask, and how long to believe them."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from linkerd_tcp.config.fields import Items, PositiveSecs, as_text, refuse
from linkerd_tcp.config.namers import NamerOptions
from namers.dns_names import Lives
from namers.dns_servers import MAX_NDOTS, MAX_SEARCH, MAX_SERVERS, Chosen, Server, read_domain, read_server

_TEXT: Final = WithJsonSchema({"type": "string"})


def _server(value: Any) -> Server:
    if isinstance(value, Server):
        return value
    try:
        return read_server(as_text(value, "the IP address of a DNS server"))
    except ValueError as error:
        refuse(str(error))


def _domain(value: Any) -> str:
    try:
        return read_domain(as_text(value, "a domain such as svc.example")).to_text().lower()
    except ValueError as error:
        refuse(str(error))


ServerText: TypeAlias = Annotated[Server, PlainValidator(_server), PlainSerializer(str), _TEXT]
Servers: TypeAlias = Annotated[Items[ServerText], Field(max_length=MAX_SERVERS)]
DomainText: TypeAlias = Annotated[str, PlainValidator(_domain), _TEXT]
LeastSecs: TypeAlias = Annotated[float, Field(ge=0.1, le=86_400)]


class DnsOptions(NamerOptions):
    """Which servers to ask, and how long to believe them."""

    servers: Servers | None = None
    """Asked in this order; each an IP address, with a port where that is not 53. None: those of /etc/resolv.conf."""
    search: Annotated[Items[DomainText], Field(max_length=MAX_SEARCH)] | None = None
    """Domains in which a name that does not end in a dot is looked for. By default those of /etc/resolv.conf, and none
    where `servers` are given.
    """
    ndots: Annotated[int, Field(ge=0, le=MAX_NDOTS)] | None = None
    """A name with as many dots is tried by itself first, one with fewer last. By default as /etc/resolv.conf, or 1."""
    min_ttl_secs: LeastSecs | None = None
    """No name is asked for again sooner, whatever its time to live. By default 5."""
    max_ttl_secs: PositiveSecs = 300.0
    """Every name is asked for again after this at the latest, but for up to a tenth that keeps names apart."""
    max_negative_ttl_secs: PositiveSecs = 30.0
    """A name that is not there is asked for again after this at the latest."""
    refresh_secs: LeastSecs | None = None
    """Another word for `minTtlSecs`."""

    @model_validator(mode="after")
    def _agree(self) -> "DnsOptions":
        for fields in self.same():
            given = [field for field in fields if getattr(self, field) is not None]
            if len(given) > 1:
                one, other = (type(self).model_fields[field].alias or field for field in given[:2])
                refuse(f"means the same as {one}: one of them is enough", key=other)
        least = self.lives.min_secs
        if least > self.max_ttl_secs:
            refuse(f"is less than the least time, {least:g} s", key="maxTtlSecs")
        return self

    @classmethod
    def same(cls) -> tuple[tuple[str, ...], ...]:
        """Fields that mean the same: at most one of each is given."""
        return (("min_ttl_secs", "refresh_secs"),)

    def _given(self, *fields: str) -> Any:
        return next((value for field in fields if (value := getattr(self, field)) is not None), None)

    @property
    def lives(self) -> Lives:
        least = self._given(*self.same()[0])
        return Lives(5.0 if least is None else least, self.max_ttl_secs, self.max_negative_ttl_secs)

    @property
    def chosen(self) -> Chosen:
        """Which servers to ask, resolv.conf read now."""
        return self._chosen(self.servers)

    def _chosen(self, servers: tuple[Server, ...] | None) -> Chosen:
        search = None if self.search is None else tuple(map(read_domain, self.search))
        return Chosen(servers or (), search, self.ndots)

"""How namerd is asked: what the interpreter and the namer over it have in common."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from linkerd_tcp.config.fields import Name, PositiveSecs, UrlText, refuse
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.credentials import build_context
from linkerd_tcp.net.pem import KeyFileError

PERIOD_SECS: Final = 10.0
"""Between two polls, where `watch: false` says to poll and nothing says how often."""


class RetryOptions(Model):
    """How long to wait before namerd is asked again after a failure: linkerd's key, other defaults (5 and 600)."""

    base_seconds: PositiveSecs = 0.25
    """At first; it doubles with each failure, and each wait is up to a half shorter, by chance."""
    max_seconds: PositiveSecs = 10.0
    """At most."""

    @model_validator(mode="after")
    def _ordered(self) -> "RetryOptions":
        if self.base_seconds > self.max_seconds:
            # One of the two may not be written: then the other is what was meant.
            if "max_seconds" not in self.model_fields_set:
                return self.model_copy(update={"max_seconds": self.base_seconds})
            if "base_seconds" not in self.model_fields_set:
                return self.model_copy(update={"base_seconds": self.max_seconds})
            refuse("expected baseSeconds to be at most maxSeconds", key="baseSeconds")
        return self


class NamerdOptions(Model):
    """namerd, and how it is asked."""

    base_url: UrlText
    """Where namerd's HTTP API is: `http://127.0.0.1:4180`; a user and password in it are sent and never shown."""
    namespace: Name = "default"
    """Which of namerd's dtabs."""
    period_secs: PositiveSecs | None = None
    """Ask this often instead of watching, as linkerd-tcp did."""
    watch: bool | None = None
    """By default false where `periodSecs` is given, else true."""
    read_timeout_secs: Annotated[PositiveSecs, Field(ge=1)] = 30.0
    """A watch that was silent for this long is begun anew; an answer to a poll that takes longer is given up on."""
    retry: RetryOptions = RetryOptions()
    tls: ClientTls | None = None
    """For an `https` address: whom to trust, what to show. `dnsName` is sent and verified instead of the address's."""

    @model_validator(mode="after")
    def _together(self) -> "NamerdOptions":
        if self.tls is not None and not self.base_url.startswith("https:"):
            refuse("tls needs an address that begins with https://", key="tls")
        if self.tls is not None and self.tls.dns_name is not None and "{" in self.tls.dns_name:
            refuse("there is nothing to capture here: write dnsName whole", key="tls")
        return self

    @property
    def watches(self) -> bool:
        """Whether names are watched; else they are polled."""
        return self.period_secs is None if self.watch is None else self.watch

    @property
    def poll_secs(self) -> float:
        return self.period_secs or PERIOD_SECS

    def problems(self) -> list[str]:
        """What is wrong with the files of `tls`, a line each; reads them."""
        try:
            if self.tls is not None:
                build_context(self.tls, [])
        except KeyFileError as error:
            return [str(error)]
        return []

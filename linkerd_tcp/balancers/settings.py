"""What a balancer reads of the client settings; docs/configuration.md says what each means."""

from typing import Protocol

from linkerd_tcp.balancers.picker import PickerConfig


class FailFastSettings(Protocol):
    """`client.failFast`."""

    @property
    def max_consecutive_failures(self) -> int: ...

    @property
    def failure_penalty_secs(self) -> float: ...


class BalancerSettings(Protocol):
    """The part of `client` that concerns picking and connecting."""

    @property
    def connect_timeout_ms(self) -> float: ...

    @property
    def max_attempts(self) -> int: ...

    @property
    def max_waiters(self) -> int: ...

    @property
    def min_connections(self) -> int: ...

    @property
    def fail_fast(self) -> FailFastSettings: ...

    @property
    def load_balancer(self) -> PickerConfig: ...

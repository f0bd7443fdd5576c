import errno

import pytest

from linkerd_tcp.connectors.failures import failure, map_error
from linkerd_tcp.errors import Cause


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.ECONNREFUSED, Cause.REFUSED),
        (errno.ETIMEDOUT, Cause.TIMEOUT),
        (errno.ENETUNREACH, Cause.UNREACHABLE),
        (errno.EHOSTUNREACH, Cause.UNREACHABLE),
        (errno.EACCES, Cause.UNREACHABLE),
        (errno.EPERM, Cause.UNREACHABLE),
        (errno.ECONNRESET, Cause.RESET),
        (errno.EMFILE, Cause.LIMIT),
        (errno.ENFILE, Cause.LIMIT),
        (errno.ENOBUFS, Cause.LIMIT),
        (errno.EADDRNOTAVAIL, Cause.LIMIT),
        (errno.EIO, Cause.OTHER),
        (99_999, Cause.OTHER),
    ],
)
def test_each_errno_has_its_cause_and_words_with_the_address(code: int, cause: Cause) -> None:
    failed = failure("10.0.0.1:80", code)
    assert map_error(code) is failed.cause is cause
    assert str(failed).startswith("10.0.0.1:80: ")
    assert errno.errorcode.get(code, str(code)) in str(failed)


def test_what_is_short_here_blames_no_endpoint_and_is_not_tried_elsewhere() -> None:
    failed = failure("10.0.0.1:80", errno.EMFILE)
    assert (failed.blames_endpoint, failed.elsewhere) == (False, False)


def test_local_ports_run_out_per_endpoint_so_another_is_tried() -> None:
    failed = failure("10.0.0.1:80", errno.EADDRNOTAVAIL)
    assert (failed.blames_endpoint, failed.elsewhere) == (False, True)
    assert "ip_local_port_range" in str(failed)


def test_a_refusal_blames_the_endpoint() -> None:
    assert failure("10.0.0.1:80", errno.ECONNREFUSED).blames_endpoint

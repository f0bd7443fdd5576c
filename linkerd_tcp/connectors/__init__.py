"""How one address is reached: `direct` dials, `header` says who the client is, `secure` speaks TLS.

`connector` says what one is, `failures` and `handshake` name what went wrong.
"""

import logging

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.client import ClientSettings, StaticClient
from linkerd_tcp.connectors.connector import Connector
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.connectors.header import HeaderConnector

_log = logging.getLogger(__name__)


def connector_for(settings: ClientSettings, bound: str = "endpoints") -> Connector:
    """What these settings ask for: TCP, then a PROXY header, then TLS. Reads no file; `bound` is for the log."""
    direct = DirectConnector(settings.socket_options)
    inner = direct if settings.proxy_protocol is None else HeaderConnector(direct, settings.proxy_protocol)
    if settings.tls is None:
        return inner
    if settings.tls.disable_validation:
        _log.warning(
            "%s: tls.disableValidation: whoever answers is believed, and may read and change everything", bound
        )
    from linkerd_tcp.connectors.secure import SecureConnector

    return SecureConnector(inner, settings.tls)


def check_client_tls(settings: ClientSettings) -> list[str]:
    """Why TLS with these settings could not work, a line each; reads their files. Captures need not be put in yet."""
    tls = settings.tls
    if tls is None:
        return []
    from linkerd_tcp.connectors.secure import name_problem
    from linkerd_tcp.credentials import build_context
    from linkerd_tcp.net.pem import KeyFileError

    problems = []
    if tls.dns_name is not None and "{" not in tls.dns_name and (wrong := name_problem(tls)) is not None:
        problems.append(wrong)
    try:
        build_context(tls, [])
    except KeyFileError as error:
        problems.append(str(error))
    return problems


def client_problems_of(config: AppConfig) -> list[str]:
    """`check_client_tls` of every client of the file, each line with its place in it."""
    problems = []
    for r, router in enumerate(config.routers):
        client, loc = router.client, ("routers", r, "client")
        entries = enumerate(client.configs) if isinstance(client, StaticClient) else ((None, client),)
        for c, settings in entries:
            place = (*loc, "tls") if c is None else (*loc, "configs", c, "tls")
            problems += [config.place_of(place, line) for line in check_client_tls(settings)]
    return problems

"""How one address is reached: `connector` says what one is, `direct` dials, `header` says who the client is.

`failures` names what went wrong.
"""

from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.connectors.connector import Connector
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.connectors.header import HeaderConnector


def connector_for(settings: ClientSettings) -> Connector:
    """What these settings ask for: plain TCP, and a PROXY header as its first bytes."""
    direct = DirectConnector(settings.socket_options)
    return direct if settings.proxy_protocol is None else HeaderConnector(direct, settings.proxy_protocol)

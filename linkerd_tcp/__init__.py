"""linkerd-tcp: a TCP load balancer and stream router, configured by one file.

ARCHITECTURE.md in the repository is the map of this package and the story of one connection.
"""

__version__ = "0.2.0"

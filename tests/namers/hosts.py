from linkerd_tcp.testing.hosts import FakeHosts as FakeHosts

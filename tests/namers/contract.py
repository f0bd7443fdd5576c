from linkerd_tcp.testing.namers import NamerContract as NamerContract

"""Patch first, then import: everything after this line runs on gevent."""

from gevent import monkey

monkey.patch_all(queue=False)  # with queue=True watchdog's emitter dies at its first event, silently: no reload ever

import sys  # noqa: E402

from linkerd_tcp.cli import run  # noqa: E402


def main() -> int:
    """The `linkerd-tcp` command; its exit status."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

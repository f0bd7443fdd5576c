"""The process of the demo's backends and clients. Patch first, then import."""

from gevent import monkey

monkey.patch_all(queue=False)

import sys  # noqa: E402

from linkerd_tcp.demo.cast import play  # noqa: E402

if __name__ == "__main__":
    sys.exit(play(sys.stdin.fileno(), sys.stdout.fileno()))

"""Patch first, as the program does."""

from gevent import monkey

monkey.patch_all(queue=False)

"""Patch first, as the program does; everything else comes after."""

from gevent import monkey

monkey.patch_all(queue=False)  # queue=True breaks watchdog 7: its emitter dies at the first event

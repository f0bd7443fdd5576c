"""`linkerd-tcp --demo`: a configuration, backends and clients that show balancing, an ejection and a recovery.

The program runs as always, on the configuration in `demo.yml`. Backends and clients are a process of their own, so that
what the dashboard says of this one is not theirs: `__main__` is that process, `stage` is what starts and ends it.
"""

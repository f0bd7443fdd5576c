"""The pages in a browser, against the real program under load.

`python -m tests.parallel tests/browser` runs them: in a process that gevent has not patched, since what drives the
browser has a loop of its own.
"""

"""Patch first, as the program does; everything else comes after."""

from gevent import monkey

monkey.patch_all(queue=False)  # queue=True breaks watchdog 7: its emitter dies at the first event

import os  # noqa: E402

from hypothesis import settings  # noqa: E402

# The same examples in every run, and no clock: what fails, fails again. LINKERD_TCP_TEST_DEEP=1 looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.register_profile("deep", deadline=None, max_examples=5_000)
settings.load_profile("deep" if os.environ.get("LINKERD_TCP_TEST_DEEP") else "steady")

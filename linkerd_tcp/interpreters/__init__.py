"""Interpreters: from a destination path to a watched tree of bound names. One module each, `tracked` is for all."""

from linkerd_tcp.config.app import AppConfig


def discovery_problems_of(config: AppConfig) -> list[str]:
    """A line for everything wrong with the files that namers and interpreters are made from; reads them."""
    asked = [*config.namers, *(router.interpreter for router in config.routers)]
    return [problem for each in asked if hasattr(each, "problems") for problem in each.problems()]

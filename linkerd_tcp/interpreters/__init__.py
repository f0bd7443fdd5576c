"""Interpreters: from a destination path to a watched tree of bound names. One module each, `tracked` is for all."""

from linkerd_tcp.config.app import AppConfig


def interpreter_problems_of(config: AppConfig) -> list[str]:
    """A line for everything wrong with the files that interpreters are made from; reads them."""
    interpreters = [router.interpreter for router in config.routers]
    return [problem for each in interpreters if hasattr(each, "problems") for problem in each.problems()]

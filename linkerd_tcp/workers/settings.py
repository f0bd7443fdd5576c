"""What is common to all kinds of processes, one alone included; and which part of the configuration is whose."""

import gc
import os
import pickle
from typing import NamedTuple

from linkerd_tcp.config.app import AppConfig


class Opened(NamedTuple):
    """Where things answer, for who prints it: (router label, address) of each server, namerd's API, admin."""

    servers: list[tuple[str, tuple[str, int]]]
    namerd: tuple[str, int] | None
    admin: tuple[str, int]
    admin_scheme: str = "http"


def number_of_workers(config: AppConfig) -> int:
    """Processes that serve; `auto` is a worker for each CPU that this process may run on."""
    if config.workers != "auto":
        return config.workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def config_of_worker(config: AppConfig) -> AppConfig:
    """A worker's: namerd's API is served by the admin process, from one store."""
    return config.model_copy(update={"namerd": None})


def config_of_admin(config: AppConfig) -> AppConfig:
    """The admin process's: it serves no router, and namers only for namerd's API."""
    idle = {"routers": (), "access_log": None}
    return config.model_copy(update=idle if config.namerd is not None else {**idle, "namers": ()})


def written_config(config: AppConfig) -> bytes:
    """For `read_config`, in a child. Pickled: it was checked already, and reading a large file of YAML again would hold
    up every connection of a worker. It never goes the other way.
    """
    return pickle.dumps(config, pickle.HIGHEST_PROTOCOL)


def read_config(data: bytes) -> AppConfig:
    config = pickle.loads(data)  # of our own parent, by a pair of sockets that nobody else has
    assert isinstance(config, AppConfig)
    return config


def spare_the_collector() -> None:
    """What lives now lives to the end, so the garbage collector need not look at it again, nor so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

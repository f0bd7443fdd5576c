"""Which store a configuration means, and whether another configuration means the same one."""

from typing import TypeAlias

from linkerd_tcp.config.admin import FileStorage, InMemoryStorage
from linkerd_tcp.controller.storage import Store

StorageConfig: TypeAlias = InMemoryStorage | FileStorage


def new_store(config: StorageConfig) -> Store:
    """The store, not started."""
    # Each when it is wanted: a folder's store needs the file watcher and threads.
    if isinstance(config, FileStorage):
        from linkerd_tcp.controller.files import FileStore

        return FileStore(str(config.root_dir))
    from linkerd_tcp.controller.memory import MemoryStore

    return MemoryStore(config.namespaces)


def is_same_store(before: StorageConfig, after: StorageConfig) -> bool:
    """Whether a store made of `before` goes on as that of `after` (`Store.apply`)."""
    if isinstance(before, FileStorage) and isinstance(after, FileStorage):
        return before.root_dir == after.root_dir
    return isinstance(before, InMemoryStorage) and isinstance(after, InMemoryStorage)

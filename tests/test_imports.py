"""Imports go down only: the order of the house, as a list that the code is held against."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "linkerd_tcp"

ORDER = [
    "errors",
    "naming",
    "wire",
    "figures",
    "envelope",
    "record",
    "book",
    "net",
    "staleness",
    "registry",
    "config",
    "credentials",
    "namerd",
    "web",
    "connectors",
    "balancers",
    "identifiers",
    "interpreters",
    "transformers",
    "controller",
    "starttls",
    "terminator",
    "preface",
    "lost",
    "router",
    "server",
    "history",
    "last_lines",
    "levels",
    "logs",
    "backends",
    "transition",
    "explain",
    "metrics",
    "dashboard",
    "admin",
    "app",
    "workers",
    "demo",
    "cli",
    "__main__",
    "testing",
]
"""Low to high. A new package or module of linkerd_tcp takes its place here."""

NAMER_MAY = {"errors", "naming", "wire", "figures", "net", "registry", "config", "namerd"}
"""What the namers beside the house may use of it. Nobody imports them: the registry names them as text."""

PURE = ("naming", "wire")
IMPURE = {"socket", "_socket", "gevent", "time", "logging", "random", "threading", "select", "selectors", "ssl", "os"}
"""Nothing here talks, waits, rolls dice or reads a clock: so it is tested and fuzzed with plain bytes and text."""


def sources() -> list[Path]:
    return sorted(path for package in (CORE, "namers") for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sources()}


def parts(tree: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    """Every node, those under `if TYPE_CHECKING:` only on demand."""
    for node in ast.iter_child_nodes(tree):
        if for_types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from parts(node, for_types)


def imports(module: str, for_types: bool = True) -> Iterator[str]:
    """Every module that `module` imports, wherever in its text; `from package import thing` as what it really names."""
    for node in parts(ast.parse(MODULES[module].read_text()), for_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def floor(module: str) -> str:
    """`linkerd_tcp.net.duplex` is on the floor `net`."""
    return module.split(".")[1] if "." in module else ""


def floors_used(module: str) -> set[str]:
    return {floor(name) for name in imports(module) if name.split(".")[0] == CORE} - {"", floor(module)}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(f"{CORE}.")])
def test_a_module_imports_only_from_lower_floors_and_its_own(module: str) -> None:
    assert floor(module) in ORDER, f"{floor(module)} has no place in ORDER yet"
    height = ORDER.index(floor(module))
    assert [name for name in floors_used(module) if ORDER.index(name) > height] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] == "namers"])
def test_a_namer_uses_only_the_lower_floors(module: str) -> None:
    used = {floor(name) for name in imports(module) if name.split(".")[0] == CORE} - {""}
    assert used <= NAMER_MAY


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] == CORE])
def test_nobody_imports_the_namers(module: str) -> None:
    assert [name for name in imports(module) if name.split(".")[0] == "namers"] == []


@pytest.mark.parametrize("module", [name for name in MODULES if floor(name) in PURE and name.startswith(f"{CORE}.")])
def test_names_and_wire_formats_are_pure(module: str) -> None:
    assert {name.split(".")[0] for name in imports(module)} & IMPURE == set()


def test_no_modules_form_a_ring() -> None:
    """Within a package too; what is imported for its type alone does not count there."""
    graph = {name: {other for other in imports(name, False) if other in MODULES and other != name} for name in MODULES}
    list(TopologicalSorter(graph).static_order())  # CycleError shows the ring


def test_the_namers_are_known_to_this_test() -> None:
    """An empty list of parameters is a test that never runs."""
    assert {"namers", "linkerd_tcp.errors", "linkerd_tcp.naming.path"} <= set(MODULES)


def test_what_only_some_files_need_is_not_imported_for_all() -> None:
    """Keys bring cryptography, discovery brings HTTP and DNS: a tenth of a second and ten megabytes of a start."""
    program = (
        "import linkerd_tcp.__main__, namers.fs, namers.static, linkerd_tcp.interpreters.default, sys;"
        "print(*sorted({'cryptography', 'requests', 'dns'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == []

"""The test classes are there for tests only: a running program never imports what they need."""

import subprocess
import sys

from tests.system.harness import REPOSITORY


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_program_imports_neither_the_tests_of_plug_ins_nor_their_tools() -> None:
    done = python(
        "import sys, linkerd_tcp.cli; print({'pytest', 'hypothesis', 'linkerd_tcp.testing'} & {*sys.modules})"
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_what_is_missing_is_said_with_the_command_that_installs_it() -> None:
    done = python("import sys; sys.modules['hypothesis'] = None; import linkerd_tcp.testing")
    assert done.returncode == 1
    assert "linkerd_tcp.testing needs hypothesis: pip install 'linkerd-tcp[testing]'" in done.stderr

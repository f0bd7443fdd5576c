"""What the pages show is true: links lead somewhere, commands run, files pass their check, answers are as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import program

ROOT = Path(__file__).resolve().parent.parent
PAGES = [path for folder in (".", "docs", "contrib") for path in sorted((ROOT / folder).glob("*.md"))]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [body for found, body in FENCED.findall(text) if found == kind]


def prose(path: Path) -> str:
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Of each heading, as forges make them."""
    headings = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each) for each in re.findall(r"^#+ (.*)$", prose(path), re.M))
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in headings}


def check(file: Path) -> tuple[int, str]:
    """Exit status of `--check`, run beside the file, and all that it says."""
    done = linkerd_tcp(file.parent, "--check", file.name)
    return done.returncode, done.stdout + done.stderr


def linkerd_tcp(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, run in `folder` to its end."""
    command = [sys.executable, "-m", "linkerd_tcp", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index] == ["README.md"]


def test_the_keys_of_the_tls_page_are_made_by_its_commands_and_load(tmp_path: Path) -> None:
    program("openssl")
    (commands,) = blocks("tls.md", "sh")
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    config = tmp_path / "tls.yml"
    config.write_text(blocks("tls.md", "yaml")[0])
    assert check(config) == (0, "ok\n")


def test_the_keys_of_the_admin_page_are_made_by_its_commands_and_load(tmp_path: Path) -> None:
    program("openssl")
    (commands,) = blocks("admin.md", "sh")
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    config = tmp_path / "admin.yml"
    config.write_text(blocks("admin.md", "yaml")[0])
    assert check(config) == (0, "ok\n")


def test_what_is_not_built_is_said_as_the_page_shows_it(tmp_path: Path) -> None:
    (config,) = [block for block in blocks("configuration.md", "yaml") if "kind: ewma" in block]
    (answer,) = [block for block in blocks("configuration.md", "console") if "--check later.yml" in block]
    (tmp_path / "later.yml").write_text(config)
    status, said = check(tmp_path / "later.yml")
    assert (status, f"$ linkerd-tcp --check later.yml\n{said}") == (2, answer)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page on names speaks of."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "disco/shop").mkdir(parents=True)
    (folder / "disco/web.yml").write_text("- 127.0.0.1:8081\n- {host: 127.0.0.1, port: 8082, weight: 0.5}\n")
    (folder / "disco/shop/cart.yml").write_text("- 127.0.0.1:8085\n")
    configs = blocks("naming.md", "yaml")
    for name, mark in (("config.yml", "/svc/split"), ("transformed.yml", "io.l5d.port")):
        (folder / name).write_text(next(config for config in configs if mark in config))
    return folder


EXPLANATIONS = [each for each in blocks("naming.md", "console") if "--explain /" in each]


@pytest.mark.parametrize("shown", EXPLANATIONS, ids=lambda shown: shown.split()[3])
def test_names_are_explained_as_the_page_shows_it(shown: str, explained: Path) -> None:
    command = shown.splitlines()[0].removeprefix("$ linkerd-tcp ")
    done = linkerd_tcp(explained, *command.split())
    aged = re.sub(r"last good \d+ s ago", "last good 0 s ago", done.stdout + done.stderr)
    assert f"$ linkerd-tcp {command}\n{aged}" == shown


def test_the_code_of_the_plug_ins_page_is_that_of_the_examples_and_all_of_it() -> None:
    """The examples are what tests/plugins installs and runs."""
    shown = {block for kind in ("python", "toml") for block in blocks("plugins.md", kind)}
    files = [path for kind in ("py", "toml") for path in (ROOT / "docs/examples").rglob(f"*.{kind}")]
    assert shown == {path.read_text(encoding="utf-8") for path in files if path.name != "__init__.py"}


def test_the_heart_of_the_kubernetes_configuration_passes_its_check(tmp_path: Path) -> None:
    (tmp_path / "disco").mkdir()
    config = tmp_path / "sni.yml"
    config.write_text(blocks("kubernetes-sni.md", "yaml")[0].replace("rootDir: /disco", "rootDir: disco"))
    assert check(config) == (0, "ok\n")


def test_the_configuration_of_the_dns_page_passes_its_check(tmp_path: Path) -> None:
    config = tmp_path / "dns.yml"
    config.write_text(blocks("dns.md", "yaml")[0])
    assert check(config) == (0, "ok\n")

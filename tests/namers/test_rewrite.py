from pathlib import Path as File

import pytest

from linkerd_tcp import registry
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.errors import ConfigError
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.addr import Failed
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, LookupContract
from namers.inet import Utilities
from namers.rewrite import RewriteConfig, RewriteNamer


def build(pattern: str, name: str) -> RewriteNamer:
    config = RewriteConfig.model_validate({"kind": "io.l5d.rewrite", "prefix": "/x", "pattern": pattern, "name": name})
    namer = config.build(NamerContext(FakeHosts()))
    namer.start()
    return namer


def rewritten(namer: RewriteNamer, path: str) -> str | None:
    """The path that `path` becomes; None for Neg."""
    watch = namer.lookup(Path.read(path))
    value = watch.value
    watch.close()
    if value == NEG:
        return None
    assert isinstance(value, Leaf)
    assert isinstance(value.value, Path)
    return str(value.value)


class TestRewrite(LookupContract):
    settle_secs = 0

    @pytest.fixture(params=[("/{a}", "/{a}"), ("/{a}{b}", "/{b}/{a}"), ("/", "/all")], ids=str)
    def namer(self, request: pytest.FixtureRequest) -> RewriteNamer:
        return build(*request.param)

    @pytest.fixture
    def known(self) -> Path:
        return Path(("web", "rest"))


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("namer", "io.l5d.rewrite") is RewriteConfig


@pytest.mark.parametrize(
    ("pattern", "name", "path", "becomes"),
    [
        ("/{a}/{b}", "/b/{b}/{a}", "/one/two", "/b/two/one"),
        ("/one/two", "/success", "/one/two", "/success"),
        ("/one/two", "/success", "/one/two/three", "/success"),  # linkerd 1's test: what is left over is dropped
        ("/{a}", "/{a}", "/one/two", "/one"),
        ("/one/two", "/success", "/one", None),
        ("/one/two", "/success", "/one/three", None),
        ("/*/{b}", "/svc/{b}", "/any/web", "/svc/web"),
        ("/{host}:{port}", "/$/inet/{host}/{port}", "/db.internal:5432", "/$/inet/db.internal/5432"),
        ("/{name}-batch", "/svc/{name}", "/web-batch", "/svc/web"),
        ("/{name}-batch", "/svc/{name}", "/web", None),
        ("/{a}", "/{a}/{a}", "/one", "/one/one"),
        ("/{a}", "/fixed", "/one", "/fixed"),
        ("/", "/#/io.l5d.fs/all", "/one/two", "/#/io.l5d.fs/all"),
        ("/", "/all", "/", "/all"),
        ("/{a}", "/{a}", r"/\xff\x20", r"/\xff\x20"),
        ("/{a}x{b}", "/{a}/{b}", r"/\xff", None),  # a capture that is one half of an escape
    ],
)
def test_what_matches_is_replaced_whole(pattern: str, name: str, path: str, becomes: str | None) -> None:
    assert rewritten(build(pattern, name), path) == becomes


def test_its_answer_goes_through_the_dtab_again_and_neg_falls_back() -> None:
    namer = build("/v1/{name}", "/svc/{name}")
    utilities = Utilities(FakeHosts())
    dtab = Dtab.read("/in => /$/inet/127.1/81 ; /in => /#/x ; /svc => /$/inet/127.1")
    interpreter = DefaultInterpreter(dtab, [namer], utilities)

    def bound(path: str) -> str:
        watch = interpreter.bind(Path.read(path))
        assert isinstance(watch.value, Leaf)
        watch.close()
        return f"{watch.value.value.id} {watch.value.value.residual}"

    assert bound("/in/v1/80/dropped") == "/$/inet/127.1/80 /"
    assert bound("/in/v2/80") == "/$/inet/127.1/81 /v2/80"
    interpreter.close()


def test_a_name_that_leads_back_to_itself_ends() -> None:
    interpreter = DefaultInterpreter(Dtab(), [build("/{a}", "/#/x/{a}")], Utilities(FakeHosts()))
    watch = interpreter.bind(Path.read("/#/x/round"))
    assert isinstance(watch.value, Failed)
    assert "Max recursion" in watch.value.cause
    watch.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('pattern: "/{a}", name: /b', "namers[0].prefix: required key is missing (what follows `/#` in the paths"),
        ("prefix: /x, name: /b", "namers[0].pattern: required key is missing"),
        ('prefix: /x, pattern: "/{a}"', "namers[0].name: required key is missing"),
        (
            'prefix: /x, pattern: "/{a}", name: "/b/{b}"',
            "f:1:72: namers[0].name: the pattern captures no {b} (it captures {a})",
        ),
        ('prefix: /x, pattern: /a, name: "/b/{b}"', "namers[0].name: the pattern captures no {b} (it captures none)"),
        ('prefix: /x, pattern: /a, name: "/b/{}"', "namers[0].name: the pattern captures no {}"),
        (
            'prefix: /x, pattern: "/{a}", name: "b/{a}"',
            "namers[0].name: not a path: expected '/', got \"b\" at [b]/{a}",
        ),
        ('prefix: /x, pattern: "/{a}", name: "/{a}//c"', "namers[0].name: not a path: expected"),
        ('prefix: /x, pattern: "/{a}", name: "/{a}/{c"', "namers[0].name: not a path: expected"),
        ('prefix: /x, pattern: "/{a", name: /b', "namers[0].pattern: not a path prefix: expected"),
        ('prefix: /x, pattern: "/{a}", name: /b, rootDir: x', "namers[0].rootDir: unknown key"),
    ],
)
def test_wrong_options_are_refused_in_words(options: str, told: str) -> None:
    text = (
        f"namers: [{{kind: io.l5d.rewrite, {options}}}]\nrouters: [{{label: a, servers: [{{port: 0, dstName: /a}}]}}]"
    )
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "f", File())
    [problem] = raised.value.problems
    assert told in problem

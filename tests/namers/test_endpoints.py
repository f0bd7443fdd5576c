import pytest
from hypothesis import given
from hypothesis import strategies as st

from namers.endpoints import Endpoint, EndpointsError, read_file, read_lines, read_yaml, whole


def lines(text: str) -> list[Endpoint]:
    return list(whole(read_lines(text, "disco/web")))


def yml(text: str) -> list[Endpoint]:
    return list(whole(read_yaml(text, "disco/web.yml")))


def problems(read: object, text: str) -> list[str]:
    with pytest.raises(EndpointsError) as caught:
        read(text)  # type: ignore[operator]
    return caught.value.problems


def test_linkerds_lines() -> None:
    text = "# all of them\n127.0.0.1 8080\r\n\n  web.Example\t81  # one\n127.1 80 * 0.5\n::1 80 * 2\n"
    assert lines(text + "10.0.0.1 80 * .5\nh 1 * 1e-3") == [
        Endpoint("127.0.0.1", 8080),
        Endpoint("web.example", 81),
        Endpoint("127.0.0.1", 80, 0.5),
        Endpoint("::1", 80, 2.0),
        Endpoint("10.0.0.1", 80, 0.5),
        Endpoint("h", 1, 0.001),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "   "])
def test_an_empty_file_is_an_empty_list(text: str) -> None:
    assert lines(text) == yml(text.strip(" ")) == []


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("127.0.0.1", 1, "expected `host port`"),
        ("127.0.0.1:80", 1, "a space stands between"),
        ("  a 80 0.5", 3, "expected `host port`"),
        ("a 80 x 0.5", 1, "expected `host port`"),
        ("a b", 3, "expected a port from 1 to 65535"),
        ("a 0", 3, "expected a port"),
        ("a 65536", 3, "expected a port"),
        ("a ٨٠", 3, "expected a port"),
        ("a 80 * -1", 8, "expected a weight of 0 or more"),
        ("a 80 * nan", 8, "expected a weight"),
        ("a 80 * 1e999", 8, "expected a weight"),
        ("a 80 * 1_0", 8, "expected a weight"),
        ("b_d! 80", 1, "expected a host name"),
        ("300.0.0.1 80", 1, "expected a host name"),
    ],
)
def test_a_bad_line_says_where_and_what_was_expected(line: str, column: int, words: str) -> None:
    [problem] = problems(lines, "127.0.0.1 80\n" + line)
    assert problem.startswith(f"disco/web:2:{column}: ")
    assert words in problem


def test_all_bad_lines_are_named_up_to_20() -> None:
    assert [problem.split(":")[1] for problem in problems(lines, "x\na 1\ny\n")] == ["1", "3"]
    assert len(problems(lines, "x\n" * 1000)) == 20


def test_yaml_lists_and_mappings() -> None:
    expected = [
        Endpoint("127.0.0.1", 8080),
        Endpoint("10.0.0.2", 80, 0.5, {"zone": "a", "deep": [1, 2.5, None, True, "on", "22:22"]}),
        Endpoint("::1", 80),
    ]
    items = """
- 127.0.0.1:8080
- {host: 10.0.0.2, port: 80, weight: 0.5, meta: {zone: a, deep: [1, 2.5, null, true, on, 22:22]}}
- "[::1]:80"
"""
    assert yml(items) == expected
    assert yml("endpoints:" + items) == expected
    assert yml('["127.0.0.1:8080"]') == expected[:1]
    assert yml('{"endpoints": ["127.0.0.1:8080"]}') == expected[:1]


@pytest.mark.parametrize("text", ["[]", "~", "endpoints:", "endpoints: []", "--- # nothing\n", "{}"])
def test_yaml_that_lists_nothing_is_an_empty_list(text: str) -> None:
    assert yml(text) == []


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("- 127.0.0.1", "1:3", "expected host:port"),
        ("- 127.0.0.1:80\n- a:0", "2:3", "port from 1 to 65535"),
        ("- 22:22:22", "1:3", "goes in brackets"),
        ("- {host: a, port: 70000}", "1:19", "port from 1 to 65535"),
        ("- {host: a, port: '80'}", "1:19", "port from 1 to 65535"),
        ("- {host: a, port: true}", "1:19", "port from 1 to 65535"),
        ("- {host: a}", "1:3", "port is missing"),
        ("- {host: a, port: 80, wieght: 1}", "1:23", "did you mean weight"),
        ("- {host: a, port: 80, weight: -1}", "1:31", "weight of 0 or more"),
        ("- {host: a, port: 80, weight: .inf}", "1:31", "weight of 0 or more"),
        ("- {host: a, port: 80, meta: x}", "1:29", "expected a mapping"),
        ("- {host: a, host: b, port: 80}", "1:13", "there twice"),
        ("- 80", "1:3", "expected host:port or a mapping"),
        ("- [a:80]", "1:3", "expected host:port or a mapping"),
        ("a:80", "1:1", "expected a list"),
        ("endpoint: []", "1:1", "unknown key"),
        ("endpoints: []\nendpoints: []", "2:1", "twice"),
        ("endpoints: {a: b}", "1:12", "expected a list"),
        ("- a:80\n- [", "3:1", ""),
        ("- a:80\n---\n- b:80", "2:1", "second document"),
        ("- &a a:80\n- *a", "1:3", "anchors"),
        ("- *a", "1:3", "anchors"),
        ("&a [x]", "1:1", "anchors"),
        ("- !!python/object:os.system x", "1:3", "tag"),
        ("- {host: a, port: 80, meta: {1: x}}", "1:30", "expected a word"),
        ("- {host: a, port: 80, meta: {<<: {a: 1}, a: [" + "[" * 40 + "]" * 40 + "]}}", "1:75", "nested deeper"),
        ("\t- a:80", "1:1", ""),
    ],
)
def test_bad_yaml_says_where_and_what(text: str, place: str, words: str) -> None:
    [problem] = problems(yml, text)
    assert problem.startswith(f"disco/web.yml:{place}: ")
    assert words in problem


def test_all_bad_items_are_named() -> None:
    assert [problem.split(":")[1] for problem in problems(yml, "- x\n- a:1\n- {host: b}\n")] == ["1", "3"]


def test_the_files_name_decides_and_a_byte_order_mark_is_no_matter() -> None:
    assert list(whole(read_file(b"\xef\xbb\xbfa 80", "web"))) == [Endpoint("a", 80)]
    assert list(whole(read_file(b"\xef\xbb\xbf- a:80", "web.yaml"))) == [Endpoint("a", 80)]
    with pytest.raises(EndpointsError, match=r"^web:2:3: not UTF-8 text$"):
        whole(read_file(b"a 80\nb \xff", "web"))
    with pytest.raises(EndpointsError, match=r"web.yml"):
        whole(read_file(b"- a:80\n\x00", "web.yml"))


@given(st.text() | st.text("[]{}:,-&*!|>'\"#ab01 \n\t"))
def test_any_text_is_endpoints_or_refused_in_words(text: str) -> None:
    for read in (lines, yml):
        refused: list[str] | None = None
        endpoints: list[Endpoint] = []
        try:
            endpoints = read(text)
        except EndpointsError as error:
            refused = error.problems
        assert all(endpoint.host and 0 < endpoint.port < 65536 for endpoint in endpoints)
        assert refused is None or 0 < len(refused) <= 20
        assert all(problem.startswith("disco/web") for problem in refused or ())


@pytest.mark.parametrize("text", ["[" * 200_000, "{" * 200_000, "- " * 200_000, "&a" * 200_000, "? " * 200_000])
def test_a_bomb_is_refused_quickly(text: str) -> None:
    assert problems(yml, text)


@pytest.mark.parametrize("text", ["a" * 500_000 + " 80", "a." * 200_000 + "! 80", "a 80 * " + "1" * 500_000])
def test_a_long_line_is_refused_quickly(text: str) -> None:
    assert problems(lines, text)


def test_reading_a_large_file_pauses_often() -> None:
    text = "\n".join(f"- 10.0.{number // 250}.{number % 250}:80" for number in range(5000))
    pauses = sum(1 for _ in read_yaml(text, "web.yml"))
    assert pauses > 50
    assert sum(1 for _ in read_lines("a 80\n" * 5000, "web")) > 50

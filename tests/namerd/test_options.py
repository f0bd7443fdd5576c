from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from linkerd_tcp.namerd.options import NamerdOptions

URL = "http://127.0.0.1:4180"


def read(**options: Any) -> NamerdOptions:
    return NamerdOptions.model_validate({"baseUrl": URL, **options})


@pytest.mark.parametrize(
    ("options", "watches", "poll_secs"),
    [
        ({}, True, 10),
        ({"periodSecs": 20}, False, 20),
        ({"periodSecs": 20, "watch": True}, True, 20),
        ({"watch": False}, False, 10),
    ],
)
def test_a_period_means_polling_unless_watching_is_asked_for(
    options: dict[str, Any], watches: bool, poll_secs: float
) -> None:
    read_options = read(**options)
    assert (read_options.watches, read_options.poll_secs) == (watches, poll_secs)


@pytest.mark.parametrize(
    ("retry", "base", "most"),
    [({}, 0.25, 10), ({"baseSeconds": 5, "maxSeconds": 600}, 5, 600), ({"baseSeconds": 20}, 20, 20),
     ({"maxSeconds": 0.1}, 0.1, 0.1)],
)  # fmt: skip
def test_retry_is_linkerd_s_key(retry: dict[str, float], base: float, most: float) -> None:
    options = read(retry=retry).retry
    assert (options.base_seconds, options.max_seconds) == (base, most)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"baseUrl": "namerd:4180"}, "expected an address such as http://127.0.0.1:4180"),
        ({"retry": {"baseSeconds": 2, "maxSeconds": 1}}, "expected baseSeconds to be at most maxSeconds"),
        ({"retry": {"baseSeconds": 0}}, "greater than 0"),
        ({"periodSecs": 0}, "greater than 0"),
        ({"readTimeoutSecs": 0.5}, "greater than or equal to 1"),
        ({"namespace": ""}, "at least 1 character"),
        ({"tls": {}}, "tls needs an address that begins with https://"),
        ({"baseUrl": "https://h", "tls": {"dnsName": "{x}.h"}}, "nothing to capture"),
        ({"periodMs": 5}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        read(**options)


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    [problem] = read(baseUrl="https://h", tls={"trustCerts": [str(bad)]}).problems()
    assert str(bad) in problem
    assert read().problems() == []


@pytest.mark.parametrize("address", ["http://me:s3cret@namerd:4180/?x", "me:s3@s3cret@namerd", "http://me:s3cret/@h:0"])
def test_a_password_is_not_in_the_words_about_a_mistake_beside_it(address: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NamerdOptions.model_validate({"baseUrl": address})
    words = str(caught.value.errors(include_input=False)[0]["msg"])
    assert "got " in words
    assert "s3cret" not in words

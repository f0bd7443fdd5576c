"""A repeated failure is said once per interval."""

from linkerd_tcp.net.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_said_once_per_interval_with_what_was_left_unsaid() -> None:
    clock = Clock()
    throttle = Throttle(interval_secs=10, clock=clock)
    assert throttle.ask("a") == 0
    assert [throttle.ask("a") for _ in range(3)] == [None] * 3
    clock.now += 9.9
    assert throttle.ask("a") is None
    clock.now += 0.1
    assert throttle.ask("a") == 4
    assert throttle.ask("a") is None


def test_keys_do_not_silence_each_other() -> None:
    throttle = Throttle()
    assert throttle.ask("a") == 0
    assert throttle.ask("b") == 0


def test_a_forgotten_key_is_news_again() -> None:
    throttle = Throttle()
    throttle.ask("a")
    throttle.forget("a")
    assert throttle.ask("a") == 0
    throttle.forget("never seen")


def test_no_more_than_the_bound_of_keys_is_kept_and_the_oldest_goes() -> None:
    throttle = Throttle(max_keys=2)
    for key in ("a", "b", "c"):
        assert throttle.ask(key) == 0
    assert throttle.ask("b") is None
    assert throttle.ask("c") is None
    assert throttle.ask("a") == 0, "a should have been forgotten"

"""Who comes all at once is let in one by one."""

import gevent

from linkerd_tcp.web.gate import Gate


def test_one_in_a_turn_of_the_loop_in_the_order_they_came() -> None:
    gate, entered, turns = Gate(), [], [0]

    def count() -> None:
        timer = gevent.get_hub().loop.timer(0, 0.000001)

        def tick() -> None:
            turns[0] += 1

        timer.start(tick)
        gevent.sleep(5)

    def enter(number: int) -> None:
        gate.enter()
        entered.append((number, turns[0]))

    counting = gevent.spawn(count)
    gevent.joinall([gevent.spawn(enter, number) for number in range(50)], raise_error=True)
    counting.kill()
    assert [number for number, _ in entered] == list(range(50))
    assert len({turn for _, turn in entered}) > 40
    gevent.spawn(gate.enter).get(timeout=1)


def test_who_gives_up_waiting_holds_up_nobody() -> None:
    gate = Gate()
    waiting = [gevent.spawn(gate.enter) for _ in range(3)]
    gevent.sleep(0)
    waiting[1].kill()
    waiting[2].get(timeout=1)

from linkerd_tcp.naming.watch import Var


def test_observers_are_told_of_each_new_value_and_not_of_an_equal_one():
    var, told = Var(1), []
    var.observe(told.append)
    for value in (1, 2, 2, 3):
        var.set(value)
    assert told == [2, 3]
    assert var.value == 3


def test_an_equal_value_is_told_when_it_has_to_be():
    var, told = Var((1,)), []
    var.observe(told.append)
    again = (1,)
    var.tell(again)
    assert told == [(1,)]
    assert var.value is again


def test_nothing_is_told_after_an_observation_or_the_watch_ends():
    var, told, other = Var(1), [], []
    cancel = var.observe(told.append)
    var.observe(other.append)
    cancel()
    cancel()
    var.set(2)
    var.close()
    var.set(3)
    assert (told, other, var.value) == ([], [2], 2)


def test_closing_releases_the_source_once():
    closed = []
    var = Var(1, lambda: closed.append(True))
    var.close()
    var.close()
    assert closed == [True]


def test_an_observer_that_ends_another_s_observation_is_heeded_at_once():
    var, told = Var(1), []
    cancels = []
    var.observe(lambda _: cancels[0]())
    cancels.append(var.observe(told.append))
    var.set(2)
    assert told == []


def test_no_observer_is_told_an_older_value_after_a_newer_one():
    var, told = Var(1), []
    var.observe(lambda value: var.set(3) if value == 2 else None)
    var.observe(told.append)
    var.set(2)
    assert told == [3]

"""The choice of a number of threads and of how they wait, on machines that are made up: what each way costs."""

from collections.abc import Callable

import pytest

from textmill.machine.threads import ThreadChoice, Threads


def spent(choice: ThreadChoice, costs: Callable[[Threads], float], seconds: float) -> dict[int, float]:
    """The share of the work done by each count, within so many seconds; a unit of work takes `costs(way)` seconds."""
    done: dict[int, float] = {}
    size = 1
    while seconds > 0:
        size = 3 * size % 17  # work of all sizes
        taken = size * costs(choice.now)
        done[choice.count] = done.get(choice.count, 0.0) + size
        choice.measure(size, taken)
        seconds -= taken
    return {count: work / sum(done.values()) for count, work in done.items()}


def quiet(way: Threads) -> float:
    return 0.002 / way.count * (1.5 if way.briefly else 1.0)


def crowded(way: Threads) -> float:
    return 0.002 if way.count == 1 else 0.003 if way.briefly else 0.01


def test_on_a_quiet_machine_all_threads_work() -> None:
    assert spent(ThreadChoice(2, most=2), quiet, 60)[2] > 0.98
    assert spent(ThreadChoice(8, most=8), quiet, 60)[8] > 0.98
    assert spent(ThreadChoice(1, most=1), quiet, 1) == {1: 1.0}


def test_beside_a_neighbour_fewer_work_and_all_again_when_it_has_gone() -> None:
    choice = ThreadChoice(2, most=2)
    spent(choice, quiet, 10)
    spent(choice, crowded, 5)
    assert spent(choice, crowded, 60)[1] > 0.95
    spent(choice, quiet, 10)
    assert spent(choice, quiet, 60)[2] > 0.98


def test_one_that_begins_beside_a_neighbour_finds_its_count_at_once() -> None:
    choice = ThreadChoice(2, most=2)
    spent(choice, crowded, 1.5)
    assert spent(choice, crowded, 30)[1] > 0.95


def test_where_the_count_stays_threads_wait_briefly_beside_a_neighbour() -> None:
    choice = ThreadChoice(2)
    spent(choice, quiet, 10)
    assert not choice.now.briefly
    spent(choice, crowded, 10)
    assert choice.now == Threads(2, briefly=True)
    assert spent(choice, quiet, 60) == {2: 1.0}
    assert not choice.now.briefly


def test_a_neighbour_that_comes_just_after_a_trial_is_noticed_before_the_next_would_be_due() -> None:
    choice = ThreadChoice(2, most=2)
    spent(choice, quiet, 1)
    spent(choice, crowded, 4)
    assert spent(choice, crowded, 2) == {1: 1.0}


def test_threads_that_see_to_their_waiting_themselves_are_only_counted() -> None:
    ways = set()

    def costs(way: Threads) -> float:
        ways.add(way)
        return crowded(way)

    spent(ThreadChoice(4, most=4, waits=False), costs, 20)
    assert ways == {Threads(1), Threads(2), Threads(3), Threads(4)}


def test_of_many_threads_one_gives_way() -> None:
    def costs(way: Threads) -> float:
        return 0.016 / way.count if way.count < 8 else 0.008

    choice = ThreadChoice(8, most=8)
    spent(choice, costs, 5)
    assert spent(choice, costs, 60)[7] > 0.93


@pytest.mark.parametrize("factor", [1.0, 1.4, 20.0])
def test_where_all_ways_become_slower_nothing_is_gained_by_trying_on_and_on(factor: float) -> None:
    choice = ThreadChoice(4, most=4)
    spent(choice, quiet, 10)
    assert spent(choice, lambda way: factor * quiet(way), 100)[4] > 0.97

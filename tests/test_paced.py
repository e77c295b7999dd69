"""A figure that is read from the whole history: when it is read anew, and what stands in for it until then."""

import asyncio
from collections.abc import Iterator

from feilun.serve.paced import REST, Paced


class Clock:
    """seconds: of the wall; spent: the processor's, of which each reading takes one."""

    def __init__(self) -> None:
        self.seconds = self.spent = 0.0

    def read(self, figures: Iterator[int]) -> int:
        self.spent += 1.0
        return next(figures)


def paced(clock: Clock) -> Paced[int]:
    return Paced(lambda: clock.seconds, lambda: clock.spent)


def get(figure: Paced[int], clock: Clock, known: int, figures: Iterator[int]) -> int:
    return asyncio.run(figure.get(known, lambda: clock.read(figures)))


def test_it_is_read_anew_when_something_is_new_and_its_time_has_come():
    clock, figures = Clock(), iter(range(9))
    figure = paced(clock)
    assert [get(figure, clock, known, figures) for known in (1, 1, 2)] == [0, 0, 0]
    clock.seconds = REST
    assert [get(figure, clock, known, figures) for known in (1, 2, 2, 3)] == [0, 1, 1, 1]
    clock.seconds = 3 * REST
    assert get(figure, clock, 2, figures) == 1, "nothing is new"


def test_what_is_forgotten_is_read_anew_at_once():
    clock, figures = Clock(), iter(range(9))
    figure = paced(clock)
    get(figure, clock, 1, figures)
    figure.forget()
    assert get(figure, clock, 1, figures) == 1


def test_what_is_forgotten_while_it_is_read_is_not_kept():
    clock, figures = Clock(), iter(range(9))
    figure = paced(clock)

    def read() -> int:
        figure.forget()
        return clock.read(figures)

    assert asyncio.run(figure.get(1, read)) == 0
    assert get(figure, clock, 1, figures) == 1


def test_those_who_ask_at_once_share_one_reading():
    clock, figures = Clock(), iter(range(9))
    figure = paced(clock)

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(figure.get(1, lambda: clock.read(figures)) for _ in range(5)))

    assert asyncio.run(all_at_once()) == [0] * 5

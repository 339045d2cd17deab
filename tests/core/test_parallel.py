from __future__ import annotations

import itertools
import threading
import time

import pytest

from facecheck.core.parallel import chunked, map_ordered


def test_results_come_in_order_whatever_finishes_first() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(map_ordered(slow_first, range(50), workers=4)) == [n * n for n in range(50)]


def test_an_endless_input_is_read_no_further_than_it_must() -> None:
    taken = itertools.count()
    results = map_ordered(lambda _: next(taken), itertools.repeat(None), workers=2, ahead=4)
    for _ in range(10):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert next(taken) <= 17


def test_an_error_is_raised_at_its_place() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = map_ordered(work, range(10), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_work_is_done_by_several_threads() -> None:
    gate = threading.Barrier(2, timeout=10)
    assert len(list(map_ordered(lambda _: gate.wait(), range(2), workers=2))) == 2


def test_chunks_hold_everything_in_order() -> None:
    assert list(chunked(range(5), 2)) == [(0, 1), (2, 3), (4,)]
    assert list(chunked([], 2)) == []

"""Pieces of work side by side, each in a thread that computes alone."""

import threading

import pytest
import torch

from polycontrast.infer.workers import each_alone


@pytest.fixture(name="two", autouse=True)
def _two():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_pieces():
    first = threading.Event()

    def late(i: int) -> int:
        if i == 0:
            assert first.wait(10)
        first.set()
        return i

    assert each_alone(late, range(5)) == list(range(5))


def test_each_piece_is_computed_by_one_thread_and_as_many_at_once_as_torch_has():
    both = threading.Barrier(2, timeout=10)

    def threads(_: int) -> int:
        both.wait()
        torch.randn(100_000).exp()
        return torch.get_num_threads()

    assert each_alone(threads, range(2)) == [1, 1]


def test_the_caller_keeps_its_threads():
    each_alone(lambda _: None, range(3))
    assert torch.get_num_threads() == 2


def test_one_piece_is_enough_and_none_is_no_error():
    assert each_alone(str, [1]) == ["1"]
    assert each_alone(str, []) == []


def test_an_error_of_a_piece_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        each_alone(lambda x: 1 / x, [1, 0])

"""The pool of past fakes: what it returns, what it keeps, and that it comes back from a state."""

import io

import pytest
import torch
from torch import Tensor

from polycontrast.systems.base import SampleRng
from polycontrast.systems.pool import ImagePool

CPU = torch.device("cpu")


def image(number: int) -> Tensor:
    return torch.full((1, 1, 2, 2), float(number))


def passed(pool: ImagePool, numbers: range, seed: int = 0) -> list[float]:
    """Which number comes out for each that goes in, one at a time."""
    return [float(pool.swap(image(n), SampleRng(seed, [n], CPU))[0, 0, 0, 0]) for n in numbers]


def kept(pool: ImagePool) -> list[float]:
    return [float(x[0, 0, 0]) for x in pool.images]


def test_until_it_is_full_it_keeps_every_image_and_returns_it() -> None:
    pool = ImagePool(5)
    assert passed(pool, range(5)) == [0, 1, 2, 3, 4]
    assert kept(pool) == [0, 1, 2, 3, 4]


def test_once_full_an_old_image_goes_out_half_of_the_time_and_the_new_one_takes_its_place() -> None:
    pool = ImagePool(5)
    passed(pool, range(5))
    olds = 0
    for n in range(5, 1005):
        before = kept(pool)
        (out,) = passed(pool, range(n, n + 1))
        if out == n:
            assert kept(pool) == before
        else:
            olds += 1
            assert kept(pool) == [n if x == out else x for x in before]
    assert olds == pytest.approx(500, abs=50)


def test_every_place_is_drawn_equally_often() -> None:
    pool, freed = ImagePool(4), [0] * 4
    passed(pool, range(4))
    for n in range(4, 2004):
        before = kept(pool)
        passed(pool, range(n, n + 1))
        for i, (old, new) in enumerate(zip(before, kept(pool), strict=True)):
            freed[i] += old != new
    assert freed == pytest.approx([250] * 4, abs=60)


def test_images_of_a_batch_enter_one_after_the_other() -> None:
    whole, single = ImagePool(3), ImagePool(3)
    batches = [torch.cat([image(n) for n in range(first, first + 4)]) for first in range(0, 40, 4)]
    out = [
        whole.swap(x, SampleRng(0, range(4 * i, 4 * i + 4), CPU))[:, 0, 0, 0].tolist() for i, x in enumerate(batches)
    ]
    assert [n for numbers in out for n in numbers] == passed(single, range(40))
    assert kept(whole) == kept(single)


def test_its_choices_derive_from_seed_and_sample_alone() -> None:
    first, again, other = (passed(ImagePool(3), range(60), seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_what_it_keeps_and_returns_has_no_graph_and_no_more_memory_than_its_own() -> None:
    pool = ImagePool(3)
    fresh = torch.ones(8, 1, 2, 2, requires_grad=True) * 2
    assert not pool.swap(fresh, SampleRng(0, range(8), CPU)).requires_grad
    assert all(not x.requires_grad and x.untyped_storage().nbytes() == 4 * 4 for x in pool.images)


def test_no_pool_returns_what_it_is_given() -> None:
    pool = ImagePool(0)
    assert passed(pool, range(20)) == list(range(20))
    assert not pool.images


def test_a_pool_whose_images_were_saved_and_loaded_goes_on_as_the_first() -> None:
    first, second = ImagePool(4), ImagePool(4)
    passed(first, range(30))
    file = io.BytesIO()
    torch.save(list(first.images), file)
    file.seek(0)
    second.images = torch.load(file, weights_only=True)
    assert passed(second, range(30, 90)) == passed(first, range(30, 90))
    assert kept(second) == kept(first)

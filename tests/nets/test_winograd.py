"""The 3x3 convolution that NNPACK computes: the same numbers, and only where it may and pays."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from polycontrast.infer.workers import each_alone
from polycontrast.nets.winograd import WinogradConv

pytestmark = pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="this machine has no NNPACK")


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What NNPACK is given."""
    seen: list[Tensor] = []
    convolve = torch._nnpack_spatial_convolution

    def spy(x: Tensor, *rest: object) -> Tensor:
        seen.append(x)
        return convolve(x, *rest)

    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", spy)
    return seen


@pytest.fixture(name="threads", params=[1])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def layer(inputs: int = 5, outputs: int = 7) -> WinogradConv:
    torch.manual_seed(0)
    return WinogradConv(inputs, outputs)


def direct(conv: WinogradConv, x: Tensor) -> Tensor:
    weight, bias = conv.weight.double(), None if conv.bias is None else conv.bias.double()
    return torch.conv2d(x.double(), weight, bias, padding=1)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (33, 47), (96, 80)])
@torch.no_grad()
def test_alone_it_equals_the_direct_convolution(size: tuple[int, int], calls: list[Tensor]) -> None:
    conv, x = layer(), torch.randn(1, 5, *size)
    torch.testing.assert_close(conv(x).double(), direct(conv, x), rtol=0, atol=1e-4)
    assert len(calls) == 1


@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_inputs_of_zeros_may_be_left_out(calls: list[Tensor]) -> None:
    conv, x = layer(), torch.randn(1, 5, 16, 16)
    held = torch.tensor([True, False, True, True, False])
    x[:, ~held] = 0
    torch.testing.assert_close(conv(x[:, held], held).double(), direct(conv, x), rtol=0, atol=1e-4)
    assert [len(seen[0]) for seen in calls] == [3]


def test_a_thread_of_the_pool_uses_it_and_others_do_not(calls: list[Tensor]) -> None:
    conv, images = layer(), torch.randn(4, 5, 20, 20).split(1)
    made = each_alone(torch.no_grad()(conv), images)
    assert len(calls) == 4
    for x, y in zip(images, made, strict=True):
        torch.testing.assert_close(y.double(), direct(conv, x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_with_several_threads_it_is_torchs_own(calls: list[Tensor]) -> None:
    layer()(torch.randn(1, 5, 8, 8))
    assert not calls


@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_a_batch_is_torchs_own(calls: list[Tensor]) -> None:
    layer()(torch.randn(2, 5, 8, 8))
    assert not calls


@pytest.mark.usefixtures("threads")
def test_with_gradients_it_is_torchs_own(calls: list[Tensor]) -> None:
    conv = layer()
    conv(torch.randn(1, 5, 8, 8)).sum().backward()
    assert not calls
    assert conv.weight.grad is not None


@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_in_bfloat16_it_is_torchs_own(calls: list[Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer()(torch.randn(1, 5, 8, 8)).dtype is torch.bfloat16
    layer().double()(torch.randn(1, 5, 8, 8, dtype=torch.float64))
    assert not calls


@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_where_nnpack_is_missing_or_turned_off_it_is_torchs_own(
    calls: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.backends.nnpack.flags(enabled=False):
        layer()(torch.randn(1, 5, 8, 8))
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.nnpack, "is_available", lambda: False)
        layer()(torch.randn(1, 5, 8, 8))
    monkeypatch.delattr(torch, "_nnpack_spatial_convolution")
    layer()(torch.randn(1, 5, 8, 8))
    assert not calls


@pytest.mark.usefixtures("threads")
@torch.no_grad()
def test_the_layout_of_image_and_weights_does_not_matter(calls: list[Tensor]) -> None:
    conv, x = layer(), torch.randn(1, 5, 20, 24)
    expected = conv(x)
    conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(conv(x.contiguous(memory_format=torch.channels_last)), expected, rtol=0, atol=0)
    assert len(calls) == 2


def test_its_parameters_are_those_of_a_plain_convolution() -> None:
    plain = nn.Conv2d(5, 7, 3, padding=1)
    layer().load_state_dict(plain.state_dict())

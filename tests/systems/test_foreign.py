"""Weights of the original repositories give the same images here as there.

The originals are stated anew, as the nested `Sequential`s that give their files' keys.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from polycontrast.errors import UserError
from polycontrast.nets.critic import StarCritic
from polycontrast.nets.patch_critic import PatchCritic
from polycontrast.nets.residual_generator import ResidualGenerator
from polycontrast.nets.skip_generator import SkipGenerator
from polycontrast.systems import foreign
from polycontrast.systems.foreign import Kind, Sizes


class Level(nn.Module):
    """A level of the nested U-Net; without `skip` the outermost."""

    def __init__(self, *layers: nn.Module, skip: bool = True) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.model(x)
        return torch.cat([x, made], dim=1) if self.skip else made


class Whole(nn.Module):
    """A network under the name `model` or `main`."""

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.add_module(name, network)

    def forward(self, x: Tensor) -> Tensor:
        (network,) = self.children()
        made: Tensor = network(x)
        return made


class Block(nn.Module):
    """A residual block whose layers lie under this name."""

    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.get_submodule(self.name)(x)
        return x + change


def nested_unet(
    inputs: int, outputs: int, levels: int, base: int, norm: Callable[[int], nn.Module], bias: bool
) -> Whole:
    def down(i: int, o: int, bias: bool = bias) -> nn.Module:
        return nn.Conv2d(i, o, 4, 2, 1, bias=bias)

    def up(i: int, o: int, bias: bool = bias) -> nn.Module:
        return nn.ConvTranspose2d(i, o, 4, 2, 1, bias=bias)

    def leaky() -> nn.Module:
        return nn.LeakyReLU(0.2, inplace=True)

    def relu() -> nn.Module:
        return nn.ReLU(inplace=True)

    widths = [base * min(2**n, 8) for n in range(levels)]
    w = widths[-1]
    inside = Level(leaky(), down(widths[-2], w), relu(), up(w, widths[-2]), norm(widths[-2]))
    for n in range(levels - 2, 0, -1):
        o, w = widths[n - 1], widths[n]
        inside = Level(leaky(), down(o, w), norm(w), inside, relu(), up(2 * w, o), norm(o))
    outermost = Level(down(inputs, base), inside, relu(), up(2 * base, outputs, True), nn.Tanh(), skip=False)
    return Whole("model", outermost)


def pix2pix(levels: int = 5, base: int = 4, channels: int = 3) -> Whole:
    return nested_unet(channels, channels, levels, base, nn.BatchNorm2d, bias=False)


def tcmgan(levels: int = 5, base: int = 4) -> Whole:
    return nested_unet(4, 1, levels, base, nn.InstanceNorm2d, bias=True)


def cyclegan(blocks: int = 2, base: int = 4, statistics: bool = False) -> Whole:
    def norm(width: int) -> nn.Module:
        return nn.InstanceNorm2d(width, track_running_stats=statistics)

    def block(w: int) -> nn.Module:
        half = (nn.ReflectionPad2d(1), nn.Conv2d(w, w, 3), norm(w))
        again = (nn.ReflectionPad2d(1), nn.Conv2d(w, w, 3), norm(w))
        return Block("conv_block", *half, nn.ReLU(), *again)

    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, base, 7), norm(base), nn.ReLU()]
    for w in (base, 2 * base):
        layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), norm(2 * w), nn.ReLU()]
    layers += [block(4 * base) for _ in range(blocks)]
    for w in (2 * base, base):
        layers += [nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1), norm(w), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(base, 3, 7), nn.Tanh()]
    return Whole("model", nn.Sequential(*layers))


def stargan(blocks: int = 2, base: int = 4, labels: int = 5) -> Whole:
    def norm(width: int) -> nn.Module:
        return nn.InstanceNorm2d(width, affine=True, track_running_stats=True)

    def block(w: int) -> nn.Module:
        convolutions = [nn.Conv2d(w, w, 3, 1, 1, bias=False) for _ in range(2)]
        return Block("main", convolutions[0], norm(w), nn.ReLU(), convolutions[1], norm(w))

    layers: list[nn.Module] = [nn.Conv2d(3 + labels, base, 7, 1, 3, bias=False), norm(base), nn.ReLU()]
    for w in (base, 2 * base):
        layers += [nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), norm(2 * w), nn.ReLU()]
    layers += [block(4 * base) for _ in range(blocks)]
    for w in (2 * base, base):
        layers += [nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), norm(w), nn.ReLU()]
    layers += [nn.Conv2d(base, 3, 7, 1, 3, bias=False), nn.Tanh()]
    return Whole("main", nn.Sequential(*layers))


@dataclass(frozen=True)
class Case:
    """A foreign generator, its kind, and ours of the same sizes."""

    kind: Kind
    original: Callable[[], Whole]
    ours: Callable[[], SkipGenerator | ResidualGenerator]
    sizes: Sizes


CASES = {
    "pix2pix": Case(
        "pix2pix", pix2pix, lambda: SkipGenerator(3, 3, 5, 4, norm="batch", dropout=True), Sizes(3, 3, 4, 5)
    ),
    "pix2pix of six levels, grey": Case(
        "pix2pix", lambda: pix2pix(6, 2, 1), lambda: SkipGenerator(1, 1, 6, 2, norm="batch"), Sizes(1, 1, 2, 6)
    ),
    "tcmgan": Case("tcmgan", tcmgan, lambda: SkipGenerator(4, 1, 5, 4), Sizes(4, 1, 4, 5)),
    "cyclegan": Case("cyclegan", cyclegan, lambda: ResidualGenerator(3, 3, 2, 4), Sizes(3, 3, 4, 2)),
    "cyclegan with statistics": Case(
        "cyclegan", lambda: cyclegan(3, 2, statistics=True), lambda: ResidualGenerator(3, 3, 3, 2), Sizes(3, 3, 2, 3)
    ),
    "stargan": Case(
        "stargan", stargan, lambda: ResidualGenerator(8, 3, 2, 4, style="stargan"), Sizes(8, 3, 4, 2)
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def trained(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with every weight and statistic drawn, none of them at its first value."""
    rng = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=rng) * 0.3 + 0.1)
    return network.train()  # as the originals are used at test: norms by the image's own statistics


@EVERY
@torch.no_grad()
def test_an_imported_generator_makes_the_same_image(case: Case) -> None:
    original, ours = trained(case.original()), case.ours()
    weights = original.state_dict()
    assert foreign.sizes(case.kind, weights) == case.sizes
    ours.load_state_dict(foreign.converted(case.kind, weights, ours))
    ours.eval()
    x = torch.randn(1, case.sizes.inputs, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = original(x)
    assert expected.std() > 0.05
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)


@EVERY
def test_every_parameter_finds_its_place(case: Case) -> None:
    original, ours = case.original(), case.ours()
    assert count(ours) == count(original)
    out = foreign.converted(case.kind, original.state_dict(), ours)
    assert {key: value.shape for key, value in out.items()} == {k: v.shape for k, v in ours.state_dict().items()}


@pytest.mark.parametrize("levels", [7, 8])
def test_published_depths_of_the_unet_are_told_by_the_nesting(levels: int) -> None:
    assert foreign.sizes("pix2pix", pix2pix(levels, 1).state_dict()).depth == levels


def test_keys_of_the_published_residual_generator() -> None:
    names = foreign.residual_modules(9, reflected=True)
    published = [1, 4, 7, *(f"{n}.conv_block.{i}" for n in range(10, 19) for i in (1, 5)), 19, 22, 26]
    convolutions = [
        ours for ours, network in ResidualGenerator(3, 3, 9, 1).named_modules() if hasattr(network, "stride")
    ]
    assert [names[ours] for ours in convolutions] == [f"model.{key}" for key in published]


def test_the_prefix_of_data_parallel_is_taken_off() -> None:
    plain = stargan().state_dict()
    wrapped = {f"module.{key}": value for key, value in plain.items()}
    assert list(foreign.unwrapped(wrapped)) == list(plain) == list(foreign.unwrapped(plain))


def test_what_old_files_lack_is_filled_in() -> None:
    weights = {k: v for k, v in pix2pix().state_dict().items() if not k.endswith("num_batches_tracked")}
    network = SkipGenerator(3, 3, 5, 4, norm="batch")
    out = foreign.converted("pix2pix", weights, network)
    assert out["down.1.2.num_batches_tracked"] == 0
    network.load_state_dict(out)


def test_imported_weights_are_copies() -> None:
    weights = stargan().state_dict()
    out = foreign.converted("stargan", weights, ResidualGenerator(8, 3, 2, 4, style="stargan"))
    weights["main.0.weight"].zero_()
    assert out["layers.0.weight"].abs().sum() > 0


def test_the_first_key_that_differs_is_named() -> None:
    def refused(kind: Kind, weights: dict[str, Tensor], ours: ResidualGenerator, words: str) -> None:
        with pytest.raises(UserError, match="(?s)" + words):
            foreign.converted(kind, weights, ours)

    star = ResidualGenerator(8, 3, 2, 4, style="stargan")
    good = stargan().state_dict()
    refused(
        "stargan",
        pix2pix().state_dict(),
        star,
        r"no 'main.0.weight'.*\[4, 8, 7, 7\].*begins with 'model.model.0.weight'",
    )
    refused("stargan", {}, star, "no 'main.0.weight'.*begins with nothing")
    lacking = {k: v for k, v in good.items() if k != "main.9.main.4.bias"}
    refused("stargan", lacking, star, r"no 'main.9.main.4.bias', expected in a stargan generator as \[16\]")
    wider = good | {"main.6.weight": torch.zeros(16, 9, 4, 4)}
    refused("stargan", wider, star, r"found 'main.6.weight' of shape \[16, 9, 4, 4\], expected \[16, 8, 4, 4\]")
    more = good | {"main.20.weight": torch.zeros(3)}
    refused("stargan", more, star, r"found 'main.20.weight' of shape \[3\], expected nothing of this name")
    flat = good | {"main.0.weight": torch.zeros(4)}
    refused("stargan", flat, star, r"found 'main.0.weight' of shape \[4\], expected \[4, 8, 7, 7\]")


def test_sizes_need_the_first_and_the_last_convolution() -> None:
    good = stargan().state_dict()
    for changed, words in (
        (pix2pix().state_dict(), r"no 'main.0.weight', expected in a stargan generator as \[any, any, 7, 7\]"),
        (good | {"main.0.weight": torch.zeros(4)}, r"of shape \[4\], expected \[any, any, 7, 7\]"),
        (good | {"main.0.weight": torch.zeros(0, 8, 7, 7)}, r"of shape \[0, 8, 7, 7\], expected"),
        ({k: v for k, v in good.items() if k != "main.17.weight"}, r"no 'main.17.weight'"),
    ):
        with pytest.raises(UserError, match=words):
            foreign.sizes("stargan", changed)


def test_weights_of_another_depth_are_refused() -> None:
    shallow, deep = cyclegan(2).state_dict(), cyclegan(3).state_dict()
    with pytest.raises(UserError, match=r"no 'model.12.conv_block.1.weight'"):
        foreign.converted("cyclegan", shallow, ResidualGenerator(3, 3, 3, 4))
    with pytest.raises(UserError, match=r"no 'model.12.weight'"):
        foreign.converted("cyclegan", deep, ResidualGenerator(3, 3, 2, 4))
    with pytest.raises(UserError, match=r"no 'model.model.1.model.3.model.3.model.3.model.2.weight'"):
        foreign.converted("pix2pix", pix2pix(5).state_dict(), SkipGenerator(3, 3, 6, 4, norm="batch"))


def test_a_unet_of_another_norm_is_refused() -> None:
    with pytest.raises(UserError, match=r"no 'model.model.1.model.2.weight'"):
        foreign.converted("pix2pix", tcmgan().state_dict(), SkipGenerator(4, 1, 5, 4, norm="batch"))
    with pytest.raises(UserError, match=r"no 'model.model.0.bias'"):
        foreign.converted("tcmgan", pix2pix().state_dict(), SkipGenerator(3, 3, 5, 4))


def test_parameter_counts_are_the_published_ones() -> None:
    star = ResidualGenerator(3 + 8, 3, 6, style="stargan"), StarCritic(3, 8, 128, levels=6)
    assert round(sum(map(count, star)) / 1e6, 1) == 53.2
    assert round(count(SkipGenerator(3, 3, 8, norm="batch", dropout=True)) / 1e6, 1) == 54.4
    assert round(count(ResidualGenerator(3, 3, 9)) / 1e6, 1) == 11.4
    assert round(count(PatchCritic(6)) / 1e6, 1) == 2.8
    assert round(count(SkipGenerator(4, 1, 7)) / 1e6, 3) == 41.823


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from polycontrast import config
from polycontrast.errors import UserError
from polycontrast.recipes import RECIPES, from_json


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    pair: tuple[int, str] = (1, "a")
    many: tuple[float, ...] = ()
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = None
    on: bool = False


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    recipe = RECIPES[name]()
    assert from_json(json.loads(json.dumps(config.to_dict(recipe)))) == recipe


def test_values_of_every_kind_survive_json() -> None:
    outer = Outer("x", Inner(0.25), (3, "b"), (0.1, 2.0), "slow", 7, True)
    assert config.from_dict(Outer, config.to_dict(outer)) == outer


def test_absent_keys_take_their_defaults() -> None:
    assert config.from_dict(Outer, {"name": "x"}) == Outer("x")


def test_a_whole_number_serves_as_a_float() -> None:
    found = config.from_dict(Outer, {"name": "x", "inner": {"rate": 1}})
    assert found.inner.rate == 1.0
    assert isinstance(found.inner.rate, float)


def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() -> None:
    values = config.to_dict(RECIPES["tcmgan"]())
    values["train"]["bacth"] = 3
    with pytest.raises(UserError) as caught:
        from_json(values)
    assert "recipe.train" in caught.value.message
    assert "'bacth'" in caught.value.message
    assert "'batch'" in caught.value.hint


def test_a_missing_key_is_named() -> None:
    values = config.to_dict(RECIPES["tcmgan"]())
    del values["data"]
    with pytest.raises(UserError, match="no value for data"):
        from_json(values)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("name", 3, "config.name"),
        ("inner", "fast", "config.inner"),
        ("inner", {"rate": "fast"}, "config.inner.rate"),
        ("pair", [1], "config.pair"),
        ("pair", ["a", "b"], r"config.pair\[0\]"),
        ("many", [0.5, "x"], r"config.many\[1\]"),
        ("many", 0.5, "config.many"),
        ("mode", "medium", "config.mode"),
        ("limit", 0.5, "config.limit"),
        ("on", 1, "config.on"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_at_its_place(key: str, value: Any, place: str) -> None:
    with pytest.raises(UserError, match=place):
        config.from_dict(Outer, {"name": "x", key: value})

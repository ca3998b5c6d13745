"""The page on adding a system stays true: its code has the style of the house, its system trains and synthesises."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from polycontrast import systems
from polycontrast.systems import checks

from .contract import SystemContract, drawn_batch, trainer_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-system.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^## [^\n]*`(\S+\.py)`\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SYSTEM = "src/polycontrast/systems/ridge.py"
KNOWN = "lint.isort.known-first-party = ['polycontrast']"  # though the files are not there


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The page's files as modules, by their folders; the system is registered while a test runs."""
    made = {}
    for path, code in FILES.items():
        name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        module.__package__ = name.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, path, "exec"), module.__dict__)
        if path.startswith("src/polycontrast/systems/"):
            monkeypatch.setitem(systems.SYSTEMS, "ridge", module.Ridge)
        made[str(Path(path).parent)] = module
    return made


def test_the_page_shows_a_system_its_recipes_and_its_test() -> None:
    assert list(FILES) == [SYSTEM, "src/polycontrast/recipes/ridge.py", "tests/systems/test_ridge.py"]
    assert 100 <= FILES[SYSTEM].count("\n") <= 220  # as tests/test_house.py asks


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("command", [("check", "--config", KNOWN), ("format", "--check")])
def test_what_it_shows_is_in_the_style_of_the_house(command: tuple[str, ...], path: str) -> None:
    ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", path, "-"]
    done = subprocess.run(ruff, input=FILES[path], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_system_takes_a_training_step_and_synthesises(page: dict[str, ModuleType]) -> None:
    kind = page["tests/systems"].TestRidge
    assert issubclass(kind, SystemContract)
    trainer, batch = trainer_of(kind.recipe), drawn_batch(kind.recipe, 0, torch.float32)
    logged = trainer.step(batch)
    assert set(logged) == kind.names["all"]
    assert kind.memorised in logged
    assert trainer.step(batch)[kind.memorised] < logged[kind.memorised]
    system = trainer.system
    made, _ = system.synthesize(batch.images[:, [kind.recipe.data.contrasts.index("T2")]], ("T2",), system.want)
    assert made.shape == (2, 3, 1, 32, 32)
    assert made.isfinite().all()


def test_its_recipes_bear_their_names_and_fit_their_system(page: dict[str, ModuleType]) -> None:
    made = {function.__name__: function() for function in page["src/polycontrast/recipes"].RECIPES}
    assert [recipe.name for recipe in made.values()] == list(made) == ["ridge", "ridge_small"]  # as `--size` wants
    for recipe in made.values():
        with torch.device("meta"):
            systems.build(recipe.system, recipe.data)


def test_the_checks_that_it_names_are_there() -> None:
    told = set(re.findall(r"`(check_\w+)`", PAGE))
    assert told == {"check_paired", "check_unpaired", "check_size"}
    assert all(hasattr(checks, name) for name in told)

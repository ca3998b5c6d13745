"""What tests of whole comparisons share: the parts that take seconds, and are tested elsewhere, are left out."""

from collections.abc import Callable
from typing import Any

import pytest

from polycontrast.metrics import classifier
from polycontrast.workflows import costs


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 2)


@pytest.fixture(name="here")
def _here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is started in a process of its own, nothing drawn but the comparison's picture, no report written. Notes
    what would run in a process of its own."""
    ran: list[str] = []

    def in_child(_: object, function: Callable[..., Any], *arguments: Any) -> Any:
        ran.append(function.__name__)
        return function(*arguments)

    monkeypatch.setattr(costs, "in_child", in_child)
    for name in ("pictures.mosaic", "pictures.curves", "train.loop.preview", "metrics.evaluate.report.write"):
        monkeypatch.setattr(f"polycontrast.{name}", lambda *_, **__: None)
    return ran

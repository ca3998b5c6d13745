import json
from pathlib import Path

import pytest

from polycontrast.train.log import Log


def lines(log: Log) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.file.read_text(encoding="utf-8").splitlines()]


def test_a_record_holds_the_clock_and_each_terms_mean_since_the_last(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.add({"a": 1.0, "b": 10.0})
    log.add({"a": 3.0})
    assert log.means() == {"a": 2.0, "b": 10.0}
    assert log.write({"images": 8}) == {"images": 8, "a": 2.0, "b": 10.0}
    log.add({"a": 5.0})
    log.write({"images": 16})
    assert lines(log) == log.records() == [{"images": 8, "a": 2.0, "b": 10.0}, {"images": 16, "a": 5.0}]


def test_cutting_back_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for images in (8, 16, 24):
        log.write({"images": images})
    log.cut_back(16)
    assert [record["images"] for record in lines(log)] == [8, 16]


@pytest.mark.parametrize("rest", ['{"images": 24, "a": 0.', '{"images": 24, "a": 0.5', "{"])
def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path, rest: str) -> None:
    log = Log(tmp_path)
    log.write({"images": 8})
    with log.file.open("a") as file:
        file.write(rest)
    log.cut_back(100)
    log.write({"images": 16})
    assert [record["images"] for record in lines(log)] == [8, 16]


def test_cutting_back_to_nothing_and_without_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.cut_back(0)
    assert log.records() == []
    log.write({"images": 8})
    log.cut_back(0)
    assert log.file.read_text(encoding="utf-8") == ""


def test_the_curves_are_drawn_once_there_is_something_to_draw(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.draw()
    assert not log.picture.exists()
    for images in (8, 16):
        log.add({"a": 1.0})
        log.write({"images": images})
    log.draw()
    assert log.picture.read_bytes().startswith(b"\x89PNG")


def test_tensorboard_holds_what_the_log_holds(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = Log(tmp_path, tensorboard=True)
    log.add({"d_loss": 2.5})
    log.write({"images": 8, "seconds": 1.0})
    mirror = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in mirror.Scalars("d_loss")] == [(8, 2.5)]

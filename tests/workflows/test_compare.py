"""compare: one budget and one protocol for every system; what is finished is not done again; a kill costs little."""

import csv
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from polycontrast import recipes
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import Case
from polycontrast.metrics import downstream
from polycontrast.metrics.downstream import Segmenters
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import POLYCONTRAST, PROTOCOLS
from polycontrast.metrics.regions import REGIONS
from polycontrast.systems.base import OptimiserConfig
from polycontrast.workflows import costs, scoreboard
from polycontrast.workflows.compare import budgeted, check, compare
from polycontrast.workflows.setting import Setting

from .. import models, tiny
from ..metrics import drawn_segmenters

WANT = ("FLAIR", "T1")
SCRIPT = Path(__file__).with_name("run_compare.py")


@pytest.fixture(name="setting")
def _setting(cohort: Path, tmp_path: Path) -> Setting:
    split = tmp_path / "split.json"
    write_json(split, {"gan": ["Tiny_0"], "train": ["Tiny_1"], "test": ["Tiny_2", "Tiny_3"]})
    return Setting(cohort, split, 8, want=WANT, progress=False)


def stamps(folder: Path) -> dict[str, int]:
    """When each file below was last written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("here")
def test_one_table_has_every_system_and_control(setting: Setting, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = compare({"one": tiny.recipe(), "set": tiny.pairwise()}, setting, out, cache=cache, tell=lambda _: None)
    assert list(result["quality"]) == ["one", "set", "copy", "mean image", "constant"]
    assert result["failures"] == {}
    assert result == read_json(out / "compare.json")
    with (out / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * len(WANT) * len(REGIONS) + len(WANT)
    assert {f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")} < set(rows[0])
    summary = read_json(out / "set" / "evaluation" / "summary.json")
    own = summary["results"]["polycontrast"]["T1"]["synthetic"]["tumour"]["nmae"]
    (ceiling,) = (r for r in rows if (r["system"], r["contrast"]) == ("real", "T1"))
    assert float(ceiling["recognised"]) == pytest.approx(result["recognised"]["real"]["T1"]["mean"])
    assert (ceiling["region"], ceiling["psnr"]) == ("brain", "")
    (row,) = (r for r in rows if (r["system"], r["contrast"], r["region"]) == ("set", "T1", "tumour"))
    assert float(row["nmae"]) == pytest.approx(own["mean"], rel=1e-4)
    assert float(row["nmae_high"]) == pytest.approx(own["interval"][1], rel=1e-4)
    text = (out / "compare.md").read_text(encoding="utf-8")
    for words in ("## FLAIR, tumour", "PSNR dB ↑", "| mean image |", "| real images |", "| set | pairwise | 2 |"):
        assert words in text
    assert (out / "compare.png").stat().st_size > 1000


@pytest.mark.usefixtures("here")
def test_the_budget_is_shared_among_the_runs_of_a_set(setting: Setting, cache: Path, tmp_path: Path) -> None:
    systems = {"one": tiny.recipe(), "set": tiny.pairwise()}
    result = compare(systems, setting, tmp_path, cache=cache, tell=lambda _: None)
    one, both = result["cost"]["one"], result["cost"]["set"]
    assert (one["runs"], both["runs"]) == (1, 2)
    assert one["images"] == 8 + 4  # the segmenter's training comes on top
    assert both["images"] == 8
    assert both["parameters"] < both["parameters_of_all_players"]
    for cost in (one, both):
        assert cost["images_per_second"] > 0
        assert cost["seconds_per_volume"] > 0
        assert cost["training_memory_gb"] > 0.05
        assert cost["synthesis_memory_gb"] > 0.05
    assert budgeted(tiny.pairwise(), setting)[0].train.images == 4
    assert list(budgeted(tiny.pairwise(), setting)[1]) == ["t2_to_flair", "t2_to_t1"]


def test_what_is_finished_is_not_done_again(setting: Setting, cache: Path, tmp_path: Path, here: list[str]) -> None:
    out = tmp_path / "out"
    systems = {"one": tiny.recipe(), "set": tiny.pairwise()}
    first = compare(systems, setting, out, cache=cache, tell=lambda _: None)
    mark = read_json(out / "one" / "trained.json")
    for told in mark["runs"].values():
        del told["train"]["pretrained"]  # a setting that is younger than the mark
    write_json(out / "one" / "trained.json", mark)
    before = stamps(out)
    assert here == ["_train", "_synthesise"] * 2
    here.clear()
    again = compare(systems, setting, out, cache=cache, tell=lambda _: None)
    assert here == ["_synthesise"] * 2
    changed = {name for name, stamp in stamps(out).items() if before.get(name) != stamp}
    assert changed == {"compare.csv", "compare.json", "compare.md", "compare.png", "recognised.json"}
    assert again == first


@pytest.mark.usefixtures("here")
def test_new_volumes_are_judged_anew(setting: Setting, cache: Path, tmp_path: Path) -> None:
    systems = {"one": tiny.recipe()}
    compare(systems, setting, tmp_path, cache=cache, tell=lambda _: None)
    summary = tmp_path / "one" / "evaluation" / "summary.json"
    for file in (tmp_path / "one" / "synthetic").rglob("*_t1_synth*"):
        file.unlink()
    before = summary.stat().st_mtime_ns
    compare(systems, setting, tmp_path, cache=cache, tell=lambda _: None)
    assert summary.stat().st_mtime_ns > before
    assert len(list((tmp_path / "one" / "synthetic").rglob("*_t1_synth.nii.gz"))) == 2


@pytest.mark.usefixtures("here")
def test_mended_truths_are_judged_anew(setting: Setting, tmp_path: Path) -> None:
    run, out = models.make_run(tmp_path / "run"), tmp_path / "out"
    own = replace(setting, data=Path(shutil.copytree(setting.data, tmp_path / "data")))
    first = compare({"mine": run}, own, out, tell=lambda _: None)
    tiny.write(own.data / "Tiny_2" / "Tiny_2_seg.nii.gz", tiny.images(1)[1])
    again = compare({"mine": run}, own, out, tell=lambda _: None)
    values = [found["quality"]["mine"]["T1"]["tumour"]["nmae"]["mean"] for found in (first, again)]
    assert values[0] != values[1]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("changed", [{"test": ["Tiny_2"]}, {"gan": ["Tiny_0", "Tiny_3"], "test": ["Tiny_2"]}])
def test_another_split_is_judged_anew(setting: Setting, tmp_path: Path, changed: dict[str, list[str]]) -> None:
    run, out = models.make_run(tmp_path / "run"), tmp_path / "out"
    compare({"mine": run}, setting, out, tell=lambda _: None)
    write_json(setting.split, {"gan": ["Tiny_0"], "train": ["Tiny_1"], **changed})
    result = compare({"mine": run}, setting, out, tell=lambda _: None)
    assert result["quality"]["mine"]["T1"]["brain"]["psnr"]["n"] == 1
    fitted = read_json(out / "mine" / "evaluation" / "summary.json")["mean_image"]["cases"]
    assert fitted == len(changed.get("gan", ["Tiny_0"]))


@pytest.mark.usefixtures("here")
def test_an_evaluation_that_does_not_say_of_whom_is_made_again(setting: Setting, tmp_path: Path) -> None:
    run, out = models.make_run(tmp_path / "run"), tmp_path / "out"
    first = compare({"mine": run}, setting, out, tell=lambda _: None)
    file = out / "mine" / "evaluation" / "summary.json"
    write_json(file, {k: v for k, v in read_json(file).items() if k not in ("judged", "fitted")})
    assert compare({"mine": run}, setting, out, tell=lambda _: None) == first
    assert "judged" in read_json(file)


@pytest.mark.usefixtures("here")
def test_controls_are_judged_once(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    judge = POLYCONTRAST.judge
    counted = replace(POLYCONTRAST, judge=lambda *given: judged.append(1) or judge(*given))
    monkeypatch.setitem(PROTOCOLS, "polycontrast", counted)
    systems = {name: models.make_run(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "other"))}
    result = compare(systems, setting, tmp_path / "out", tell=lambda _: None)
    assert len(judged) == 2 * len(WANT) * (4 + 1)
    own = [read_json(tmp_path / "out" / name / "evaluation" / "summary.json") for name in systems]
    for summary in own:
        assert summary["results"]["polycontrast"]["T1"]["copy"] == result["quality"]["copy"]["T1"]
    minus = [summary["differences"]["T1"]["copy"]["brain"]["psnr"]["mean"] for summary in own]
    assert minus[0] != minus[1]


@pytest.fixture(name="opened")
def _opened(monkeypatch: pytest.MonkeyPatch) -> list[Segmenters]:
    """The segmenters that were opened, which need neither MONAI nor training."""
    found: list[Segmenters] = []

    def fake(_: object, cases: Sequence[Case], have: Sequence[str], want: Sequence[str], __: object) -> Segmenters:
        found.append(drawn_segmenters.pair(have, want, {"cases": [case.id for case in cases]}))
        return found[-1]

    monkeypatch.setattr("polycontrast.metrics.measures.find_spec", lambda _: True)
    monkeypatch.setattr(downstream, "open_segmenters", fake)
    return found


def shown(segmenters: Segmenters) -> tuple[int, int]:
    """How often each of the two was used."""
    return len(segmenters.full.shown), len(segmenters.alone.shown)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("here")
def test_inputs_without_synthetic_images_are_segmented_once_for_all_systems(
    setting: Setting, tmp_path: Path, opened: list[Segmenters]
) -> None:
    out, told = tmp_path / "out", list[str]()
    systems = {name: models.make_run(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "other"))}
    judged = replace(setting, downstream=True)
    result = compare(systems, judged, out, tell=lambda _: None)
    assert list(result["downstream"]) == ["one", "other", "T2 only", "real images", "zero-filled"]
    assert shown(opened[0]) == (2 * (3 + 1), 2)  # two cases: real, zero-filled and synthetic, and synthetic again
    assert compare(systems, judged, out, tell=told.append) == result
    assert shown(opened[1]) == (0, 0)
    assert not [line for line in told if "judging Tiny" in line]
    assert "## Downstream segmentation" in (out / "compare.md").read_text(encoding="utf-8")

    file = out / "one" / "evaluation" / "summary.json"
    assert read_json(file)["downstream"]["segmenters"] == [{"cases": ["Tiny_1"]}] * 2
    write_json(setting.split, {"gan": ["Tiny_0"], "test": ["Tiny_2", "Tiny_3"]})
    compare(systems, judged, out, tell=lambda _: None)
    assert shown(opened[2]) == (2 * (3 + 1), 2)  # these have learnt from others
    assert read_json(file)["downstream"]["segmenters"] == [{"cases": ["Tiny_0"]}] * 2


def test_without_monai_it_is_said_before_anything_is_made(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycontrast.metrics.measures.find_spec", lambda name: name != "monai" or None)
    with pytest.raises(UserError, match="MONAI is not installed"):
        compare({"one": tiny.recipe()}, replace(setting, downstream=True), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_judged_cases_are_not_averaged_into_their_mean_image(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the role gan is judged, and the mean image is made of its cases"):
        compare({"one": tiny.recipe()}, replace(setting, role="gan"), tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_every_failure_is_told_and_tried_again(tmp_path: Path) -> None:
    """A case that lacks what is given, one that lacks the truth; then both are mended."""
    data, run, lost = tmp_path / "data", models.make_run(tmp_path / "run"), tmp_path / "split.json"
    for seed, (name, changed) in enumerate({"G": {}, "A": {"t2": None}, "B": {"t1": None}, "C": {}}.items()):
        tiny.draw_case(data, name, seed, **changed)
    write_json(lost, {"gan": ["G"], "test": ["A", "B", "C"]})
    setting, out = Setting(data, lost, want=WANT, progress=False), tmp_path / "out"
    result = compare({"mine": run}, setting, out, tell=lambda _: None)
    first, second = result["failures"]["mine"]
    assert first.startswith("A: ")
    assert second == "B, T1: no truth: the case has no T1"
    before = stamps(out)["mine/evaluation/summary.json"]
    for seed, name in enumerate("GABC"):
        tiny.draw_case(data, name, seed)
    result = compare({"mine": run}, setting, out, tell=lambda _: None)
    assert result["failures"] == {}
    assert stamps(out)["mine/evaluation/summary.json"] > before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("changed", ["protocols", "regions", "cases.csv"])
def test_an_evaluation_by_other_protocols_is_made_again(setting: Setting, tmp_path: Path, changed: str) -> None:
    run, out = models.make_run(tmp_path / "run"), tmp_path / "out"
    first = compare({"mine": run}, setting, out, tell=lambda _: None)
    file = out / "mine" / "evaluation" / "summary.json"
    table, whole, summary = (file.parent / "cases.csv").read_text(encoding="utf-8"), read_json(file), read_json(file)
    if changed == "protocols":
        summary["protocols"]["brasyn"]["mask"] = "another"
    elif changed == "regions":
        del summary["results"]["polycontrast"]["T1"]["synthetic"]["ring"]
    else:
        (file.parent / "cases.csv").write_text("case,protocol,flag\nTiny_2,unknown,\n")
    write_json(file, summary)
    assert compare({"mine": run}, setting, out, tell=lambda _: None) == first
    assert read_json(file) == whole
    assert (file.parent / "cases.csv").read_text(encoding="utf-8") == table


@pytest.mark.usefixtures("here")
def test_another_budget_in_the_same_folder_is_refused_in_words(setting: Setting, cache: Path, tmp_path: Path) -> None:
    compare({"one": tiny.recipe()}, setting, tmp_path, cache=cache, tell=lambda _: None)
    result = compare({"one": tiny.recipe()}, replace(setting, images=16), tmp_path, cache=cache, tell=lambda _: None)
    assert "started with another recipe" in result["failures"]["one"][0]


def test_a_run_that_is_there_is_judged_beside_the_others(
    setting: Setting, cache: Path, tmp_path: Path, here: list[str]
) -> None:
    run = models.make_run(tmp_path / "run")
    result = compare({"mine": run}, setting, tmp_path / "out", cache=cache, tell=lambda _: None)
    assert here == ["_synthesise"]
    assert result["cost"]["mine"]["images"] is None
    assert result["quality"]["mine"]["T1"]["brain"]["psnr"]["n"] == 2
    assert "Trained elsewhere, with a budget of their own: mine" in (tmp_path / "out" / "compare.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.usefixtures("here")
def test_a_system_that_fails_is_told_and_the_others_go_on(setting: Setting, cache: Path, tmp_path: Path) -> None:
    wild = tiny.pairwise()
    adam = OptimiserConfig(((0.0, 1e30),))
    wild = replace(wild, system=replace(wild.system, generator=adam, discriminator=adam))
    told: list[str] = []
    result = compare({"wild": wild, "one": tiny.recipe()}, setting, tmp_path, cache=cache, tell=told.append)
    assert "not finite" in result["failures"]["wild"][0]
    assert list(result["cost"]) == ["one"]
    assert any("wild: FAILED" in line for line in told)
    assert "* wild: training stopped" in (tmp_path / "compare.md").read_text(encoding="utf-8")


def test_the_best_system_is_one_of_those_that_were_judged_on_all_patients() -> None:
    def stats(n: int, mean: float | str) -> dict[str, Any]:
        return {"n": n, "mean": mean}

    found = {"whole": stats(10, 20.0), "other": stats(10, 19.0), "failed on nine": stats(1, 21.0)}
    assert scoreboard._best(found, {"higher_is_better": True}) == "whole"
    assert scoreboard._best(found, {"higher_is_better": False}) == "other"
    assert scoreboard._best({**found, "perfect": stats(10, "inf")}, {"higher_is_better": True}) == "perfect"


@pytest.mark.parametrize(
    ("name", "system", "words"),
    [
        ("../out", "unet_small", "cannot be called"),
        *(
            (name, "unet_small", "cannot be called")
            for name in ("real", "copy", "constant", "synthetic", "zero-filled")
        ),
        ("pix2pix", "pix2pix", "learns from photographs"),
        ("stargan", "stargan_two", "several cohorts"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_made(
    setting: Setting, tmp_path: Path, name: str, system: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        compare({name: recipes.recipe(system)}, setting, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"want": ("PD",)}, "PD"),  # none of the labels
        ({"want": ("T1", "T2")}, "both given and wanted: T2"),
        ({"images": None}, "for how many images"),
    ],
)
def test_what_a_system_cannot_do_is_refused_before_anything_is_made(
    setting: Setting, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        compare({"stargan": recipes.recipe("stargan_small")}, replace(setting, **asked), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
def test_judged_cases_that_a_system_was_trained_on_are_named(setting: Setting, tmp_path: Path) -> None:
    leaky, out = models.make_run(tmp_path / "run", cases=["Tiny_0", "Tiny_3"]), tmp_path / "out"
    clean = models.make_run(tmp_path / "clean", seed=1)
    result = compare({"mine": leaky, "clean": clean}, replace(setting, images=None), out, tell=lambda _: None)
    assert result["leaks"] == {"mine": ["Tiny_3"]}
    text = (out / "compare.md").read_text(encoding="utf-8")
    assert "* **mine was trained on judged cases**, of which its figures say nothing: Tiny_3.\n" in text
    assert "**clean was trained" not in text
    assert "images of training" not in text


@pytest.mark.usefixtures("here")
def test_the_classifier_never_learns_from_those_who_are_judged(setting: Setting, tmp_path: Path) -> None:
    run, judged = {"mine": models.make_run(tmp_path / "run")}, replace(setting, role="train")
    assert compare(run, judged, tmp_path / "out", tell=lambda _: None)["classifier"]["role"] == "gan"
    write_json(setting.split, {"train": ["Tiny_1"], "test": ["Tiny_2"]})
    with pytest.raises(UserError, match="but those that it judges"):
        compare(run, judged, tmp_path / "none", tell=lambda _: None)


@pytest.mark.usefixtures("here")
def test_a_picture_that_fails_and_a_log_cut_short_end_no_comparison(
    setting: Setting, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems, told = {"one": tiny.recipe()}, list[str]()
    first = compare(systems, setting, tmp_path, cache=cache, tell=lambda _: None)
    with (tmp_path / "one" / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"images": 1')

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(scoreboard, "draw", broken)
    assert compare(systems, setting, tmp_path, cache=cache, tell=told.append) == first
    assert told[-1] == "there is no picture: no room"


def test_a_run_that_cannot_make_what_is_wanted_is_refused(setting: Setting, tmp_path: Path) -> None:
    run = models.make_run(tmp_path / "run")
    with pytest.raises(UserError, match="not trained to make PD"):
        check("mine", run, replace(setting, want=("PD",)))


def test_a_child_answers_and_its_errors_are_told_here(tmp_path: Path) -> None:
    assert costs.in_child(partial(os.chdir, tmp_path), os.getcwd) == str(tmp_path.resolve())
    with pytest.raises(UserError, match="no such file") as caught:
        costs.in_child(costs.nothing, read_json, tmp_path / "absent.json")
    assert caught.value.path == tmp_path / "absent.json"
    with pytest.raises(UserError, match="exit code 3"):
        costs.in_child(costs.nothing, os._exit, 3)


def test_costs_of_several_stretches_add_up_and_the_largest_peak_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cpu = tmp_path / "cost.json", Setting(tmp_path, tmp_path, 1).device
    for peak in (2.0, 1.0):
        monkeypatch.setattr(costs, "peak_memory", lambda peak=peak: peak)
        costs.note(file, "synthesis", cpu, {"seconds": 3.0, "volumes": 2})
    found = costs.measured(file)
    assert found["seconds_per_volume"] == 1.5
    assert found["synthesis_memory_gb"] == 2.0
    assert found["training_memory_gb"] is None
    assert costs.measured(tmp_path / "absent.json")["seconds_per_volume"] is None


def test_the_peak_of_memory_is_this_process_own() -> None:
    before = costs.peak_memory()
    held = bytearray(os.urandom(1)) * 200_000_000
    assert costs.peak_memory() >= before
    assert math.isclose(costs.peak_memory(), before, abs_tol=0.6)
    assert len(held) == 200_000_000


@pytest.mark.slow
def test_a_killed_comparison_goes_on_with_children_of_its_own(setting: Setting, cache: Path, tmp_path: Path) -> None:
    """Killed while the second system trains: the first is not trained again, and no child outlives its parent."""
    out = tmp_path / "out"
    pairwise = tiny.pairwise()
    plan = {"one": tiny.recipe(), "set": replace(pairwise, train=replace(pairwise.train, checkpoint_every=64))}
    files = [tiny.as_file(recipe, tmp_path / f"{name}.json") for name, recipe in plan.items()]
    long = replace(setting, images=1024)
    process = tiny.start(SCRIPT, setting.data, setting.split, cache, out, long.images, *files)
    started = out / "set" / "run" / "t2_to_flair" / "checkpoint" / "clock.json"
    until(started.exists, process.poll)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = stable(out)
    assert not (out / "set" / "trained.json").exists()
    result = compare(plan, long, out, cache=cache, tell=lambda _: None)
    assert result["failures"] == {}
    assert result["cost"]["set"]["images"] == 1024
    trained = {name: stamp for name, stamp in left.items() if name.startswith("one/run")}
    assert trained.items() <= stamps(out).items()
    log = [json.loads(x) for x in (out / "set/run/t2_to_flair/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["images"] for record in log] == list(range(8, 513, 8))


def until(there: Callable[[], bool], ended: Callable[[], int | None]) -> None:
    for _ in range(1200):
        if there():
            return
        assert ended() is None, "ended too early"
        time.sleep(0.1)
    raise AssertionError("never came")


def stable(folder: Path) -> dict[str, int]:
    """What is there once nobody writes any more: the children of a killed process end within a second."""
    time.sleep(2)
    found = stamps(folder)
    time.sleep(2)
    assert stamps(folder) == found
    return found

"""What every verb shares: help, version, exit codes, and words instead of a traceback."""

import io
import sys
from pathlib import Path

import pytest

import polycontrast
from polycontrast import cli
from polycontrast.io.layout import find_cases

from .. import tiny
from .conftest import Answer, Call


def refused(answer: Answer, *words: str) -> None:
    """Exit code 2 and words on the error channel, with a hint and without a traceback."""
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err
    for word in ("error:", "hint:", *words):
        assert word in answer.err, answer.err


def test_help_names_every_verb_and_what_this_is_not(process: Call) -> None:
    answer = process("--help")
    assert answer.code == 0
    assert all(verb in answer.out for verb in cli.VERBS)
    assert "not a medical device" in answer.out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(call: Call, verb: str) -> None:
    answer = call(verb, "-h")
    assert answer.code == 0
    assert "Usage" in answer.out


def test_what_a_stream_cannot_show_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", newline="")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(cli, "app", lambda: print("PSNR dB ↑, Müller"))
    cli.main()
    shown.flush()
    assert shown.buffer.getvalue() == "PSNR dB ?, Müller\n".encode("latin-1")  # type: ignore[attr-defined]


def test_what_may_not_be_read_is_told_in_words(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/locked")

    monkeypatch.setattr("polycontrast.io.layout.find_cases", forbidden)
    refused(call("check", "/locked"), "/locked: permission denied")


def test_version(call: Call) -> None:
    assert call("--version") == (0, f"polycontrast {polycontrast.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [["paint"], ["synth"], ["check", "x", "--fast"], ["demo", "--patients", "1"], ["demo", "--images", "9"]],
)
def test_arguments_that_are_none_exit_with_2(call: Call, arguments: list[str]) -> None:
    answer = call(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err


def test_processes_refuse_in_words(process: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    """The same as in this process, but where nothing has been imported before."""
    (tmp_path / "file").touch()
    case = cohort / "Tiny_0"
    refused(process("check", tmp_path / "nowhere"), "nowhere", "found nothing")
    refused(process("train", "--recipe", "tcgan", "--data", cohort, "-o", tmp_path / "r"), "'tcgan'", "tcmgan_report")
    refused(
        process("synth", "--model", run, "-i", case, "-o", tmp_path / "o", "--device", "cuda:99"), "'cuda:99'", "auto"
    )
    refused(process("synth", "--model", run, "-i", case, "-o", tmp_path / "file" / "o"), "cannot write", "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_debug_shows_the_traceback_of_a_refusal_too(call: Call, tmp_path: Path) -> None:
    answer = call("--debug", "check", tmp_path / "nowhere")
    assert answer.code == 2
    assert "Traceback" in answer.err


def test_our_own_fault_exits_with_1_and_asks_for_a_report(call: Call, cohort: Path, monkeypatch) -> None:
    monkeypatch.setattr("polycontrast.workflows.check.check_case", lambda *_, **__: 1 / 0)
    answer = call("check", cohort)
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.err
    assert "report it" in answer.err


def test_ctrl_c_exits_with_130(call: Call, cohort: Path, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("polycontrast.workflows.check.check_case", stop)
    answer = call("check", cohort)
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_the_drawn_cohort_is_found(cohort: Path) -> None:
    assert [case.id for case in find_cases(cohort)] == [f"Tiny_{i}" for i in range(4)]
    assert tiny.CONTRASTS == ("t1", "t1ce", "t2", "flair")

import pytest

from polycontrast.train.progress import Progress

RECORD = {"images": 50, "updates": 5, "seconds": 10.0, "phase": "all", "g_loss": 1.25}


def test_where_there_is_no_terminal_a_record_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, 0, shown=True) as bar:
        bar.update(50, lambda: {})
        bar.note(RECORD)
    assert capsys.readouterr().err == "50/100 images  10 s  10 s left  g_loss 1.25\n"


def test_nothing_is_shown_if_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, 0, shown=False) as bar:
        bar.update(50, lambda: {})
        bar.note(RECORD)
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")


def test_on_a_terminal_a_bar_shows_images_and_losses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "150")
    with Progress(100, 0, shown=True) as bar:
        bar.update(50, lambda: {"g_loss": 1.25, "g_rec": 7.0})
        bar.note(RECORD)
    shown = capsys.readouterr().err
    assert "50/100" in shown
    assert "g_loss 1.25" in shown
    assert "g_rec" not in shown
    assert "s left" not in shown

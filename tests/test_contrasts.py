import pytest

from polycontrast import contrasts
from polycontrast.errors import UserError


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("T1", "T1"), ("t1n", "T1"), ("T1w", "T1"), ("mr_t1", "T1"),
        ("t1ce", "T1ce"), ("T1-Gd", "T1ce"), ("T1c", "T1ce"), ("MR_T1c", "T1ce"),
        ("t2", "T2"), ("T2w", "T2"),
        ("flair", "FLAIR"), ("T2-FLAIR", "FLAIR"), ("t2f", "FLAIR"), ("Flair", "FLAIR"),
        ("PD", "PD"), ("dir", "DIR"),
    ],
)  # fmt: skip
def test_every_spelling_has_its_canonical_name(spelling: str, name: str) -> None:
    assert contrasts.canonical(spelling) == name


def test_no_spelling_means_two_contrasts() -> None:
    spellings = [s for name, row in contrasts.SPELLINGS.items() for s in (name.lower(), *row)]
    assert len(spellings) == len(set(spellings))


def test_an_unknown_contrast_is_refused_with_the_nearest_known_one() -> None:
    assert contrasts.find("t3") is None
    with pytest.raises(UserError, match="'flare'") as caught:
        contrasts.canonical("flare")
    assert caught.value.hint == "did you mean FLAIR?"


def test_what_resembles_nothing_gets_the_list_of_all() -> None:
    with pytest.raises(UserError) as caught:
        contrasts.canonical("zzzzzz")
    assert "T1, T1ce, T2, FLAIR" in caught.value.hint


def test_a_list_or_a_text_becomes_a_set_in_the_order_given() -> None:
    assert contrasts.canonical_set("t1gd, flair,,T1c") == ("T1ce", "FLAIR")
    assert contrasts.canonical_set(["T2w", "t1"]) == ("T2", "T1")
    assert contrasts.canonical_set("") == ()


def test_the_slug_of_a_name_leads_back_to_it() -> None:
    assert [contrasts.canonical(contrasts.slug(name)) for name in contrasts.SPELLINGS] == list(contrasts.SPELLINGS)

"""Contrast names and every spelling of them.

A contrast is one kind of MR image. Inside the program it has its canonical name ("T1ce"); in file names and
flags its slug, which is the canonical name in lower case ("t1ce").
"""

import difflib
from collections.abc import Iterable

from polycontrast.errors import UserError

DEFAULT = ("T1", "T1ce", "T2", "FLAIR")

# One row per contrast: canonical name, then the other spellings met in the field (compared in lower case, without
# spaces, hyphens and underscores).
SPELLINGS: dict[str, tuple[str, ...]] = {
    "T1": ("t1w", "t1n", "t1native", "mrt1"),
    "T1ce": ("t1c", "t1gd", "t1gad", "t1wce", "t1post", "t1contrast", "cet1", "cet1w", "gdt1", "mrt1c", "t1km"),
    "T2": ("t2w", "mrt2"),
    "FLAIR": ("t2f", "fl", "flr", "t2flair", "flairw", "mrflair"),
    "PD": ("pdw", "protondensity"),
    "DIR": ("doubleinversionrecovery",),
}
_CANONICAL = {s: name for name, row in SPELLINGS.items() for s in (name.lower(), *row)}


def find(name: str) -> str | None:
    """The canonical name of a spelling, or None if it is not a known one."""
    return _CANONICAL.get("".join(c for c in name.lower() if c not in " -_"))


def canonical(name: str) -> str:
    """The canonical name of any known spelling; a UserError names the nearest known one."""
    found = find(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), _CANONICAL, n=1, cutoff=0.4)
        hint = f"did you mean {_CANONICAL[near[0]]}?" if near else f"known contrasts: {', '.join(SPELLINGS)}"
        raise UserError(f"unknown contrast {name!r}", hint=hint)
    return found


def canonical_set(names: str | Iterable[str]) -> tuple[str, ...]:
    """Canonical names of a list or of a comma-separated text, in the given order, each once."""
    parts = names.split(",") if isinstance(names, str) else names
    return tuple(dict.fromkeys(canonical(p.strip()) for p in parts if p.strip()))


def slug(name: str) -> str:
    """The form used in file names and flags: lower case."""
    return name.lower()

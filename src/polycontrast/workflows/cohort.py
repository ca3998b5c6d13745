"""From a folder, a split file and a role to cached cases."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from polycontrast.data.cache import Entry, cached
from polycontrast.data.split import parts, read_roles, with_role
from polycontrast.errors import UserError
from polycontrast.io.layout import Case, find_cases


def cases_of(
    data: Path,
    split: Path | None,
    role: str,
    flawed: dict[str, str] | None = None,
    unknown: list[Path] | None = None,
) -> list[Case]:
    """The cases with this role, or with one of several, as "gan,train"; all of them where there is no split file.

    Raises UserError if the split names cases that are not there, or none with the role, or if one of them is flawed
    (two files for one contrast, say): unless `flawed` is given, which such cases then join (id -> reason). Flawed cases
    of other roles do not matter. unknown: as of `find_cases`.
    """
    reasons: dict[str, str] = {}
    cases = {case.id: case for case in find_cases(data, reasons, unknown)}
    names = [*cases, *reasons]
    if split:
        names = with_role(read_roles(split), role, split)
    bad = [name for name in names if name in reasons]
    if flawed is not None:
        flawed.update((name, reasons[name]) for name in bad)
        names = [name for name in names if name not in reasons]
    elif bad:  # a case less would change what is trained or judged
        found = f"{bad[0]} cannot be used: {reasons[bad[0]]}" + (f"; nor can {len(bad) - 1} more" if bad[1:] else "")
        hint = "mend it, or give it no role" if split else "mend it, or take it out of this folder"
        raise UserError(found, hint=hint, path=data)
    missing = [name for name in names if name not in cases]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} cases with the role {role!r} are not in {data}: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}",
            hint="unpack them, or name another split file", path=split,
        )  # fmt: skip
    return [cases[name] for name in names]


def check_apart(role: str, other: str, use: str, hint: str) -> None:
    """UserError if a judged role is among the others. use: what is done, as "the mean image is made of"."""
    if both := [one for one in parts(role) if one in parts(other)]:
        raise UserError(f"the role {both[0]} is judged, and {use} its cases", hint=hint)


def cached_cases(
    data: Path, split: Path | None, role: str, contrasts: Sequence[str], cache: Path | None, *, quiet: bool = False
) -> list[Entry]:
    """Cached entries of the cases with this role, with a progress bar while volumes are read. Those that have none of
    the contrasts are told and left out, unless that is all of them: a UserError."""
    cases = cases_of(data, split, role)
    lacking = [case.id for case in cases if not {*contrasts} & {*case.contrasts}]
    useful = [case for case in cases if case.id not in lacking] or cases
    entries: list[Entry] = []
    console = Console(stderr=True)
    if 0 < len(lacking) < len(cases) and not quiet:
        text = f"left out, for they have none of {', '.join(contrasts)}: {', '.join(lacking)}"
        console.print(text, markup=False, highlight=False)
    shown = track(useful, "reading", console=console, disable=quiet or not console.is_terminal)
    for case in shown:
        entries += cached([case], contrasts, cache)
    return entries

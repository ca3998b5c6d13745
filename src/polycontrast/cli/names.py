"""What --have and --want name, and what --role is a role of."""

from collections.abc import Sequence
from pathlib import Path


def check_role(role: str | None, split: Path | Sequence[Path] | None) -> None:
    """UserError for a role where no split file says whose it is."""
    from polycontrast.errors import UserError

    if role is not None and not split:
        raise UserError("--role is a role of --split", hint="give --split, or leave --role out")


def names(text: str | None, photographs: bool = False) -> tuple[str, ...] | None:
    """A comma-separated text as names: contrasts in any spelling, sides and attributes of photographs as they are.

    None if the option was not given; UserError if it names nothing.
    """
    from polycontrast.contrasts import canonical_set
    from polycontrast.errors import UserError

    if text is None:
        return None
    parts = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise UserError(f"{text!r} names nothing", hint="name one or several, as t1,t1ce, or leave the option out")
    return tuple(parts) if photographs else canonical_set(parts)

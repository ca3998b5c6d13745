"""What --have and --want name."""


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

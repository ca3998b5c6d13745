"""What --have and --want name."""


def names(text: str | None, photographs: bool) -> tuple[str, ...]:
    """A comma-separated text as names: contrasts in any spelling, sides and attributes of photographs as they are."""
    from polycontrast.contrasts import canonical_set

    if not photographs:
        return canonical_set(text or "")
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))

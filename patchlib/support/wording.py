"""Numbers and nouns."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, e.g. ``"1 image"``, ``"3 boxes"``."""
    ending = "" if number == 1 else "es" if noun.endswith(("x", "s")) else "s"
    return f"{number} {noun}{ending}"

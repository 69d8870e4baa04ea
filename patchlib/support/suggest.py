"""One sentence for every unknown name: what was given, and the nearest known ones, or all where none is near."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, got: str, known: Iterable[str]) -> str:
    """Message for a name that is not known, e.g. ``unknown_name("encoder", "SigLp", names)``."""
    known = list(known)
    folded = {name.casefold(): name for name in known}
    near = [folded[match] for match in difflib.get_close_matches(str(got).casefold(), folded, n=3, cutoff=0.5)]
    if near:
        return f"unknown {kind} {got!r}; did you mean {' or '.join(near)}?"
    return f"unknown {kind} {got!r}; known: {', '.join(known) or 'none'}"

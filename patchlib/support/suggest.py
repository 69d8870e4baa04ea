"""One sentence for every unknown name: what was given, the nearest known ones, and all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, got: str, known: Iterable[str]) -> str:
    """Message for a name that is not known, e.g. ``unknown_name("encoder", "SigLp", names)``."""
    known = list(known)
    folded = {name.casefold(): name for name in known}
    near = [folded[match] for match in difflib.get_close_matches(str(got).casefold(), folded, n=2, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {kind} {got!r}; {hint}Known: {', '.join(known) or 'none'}"

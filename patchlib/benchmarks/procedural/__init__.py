"""The built-in benchmark: procedural instances in procedural scenes, written in ILIAS' published layout.

Begin at :func:`load`.
"""

from patchlib.benchmarks.procedural.loader import load

__all__ = ["load"]

"""What every room stands on: where things live, whole files and records, progress lines, cores, suggestions.

Begin at :mod:`patchlib.support.provenance`, which names and records whatever is computed.
"""

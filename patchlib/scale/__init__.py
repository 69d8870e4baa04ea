"""Databases larger than memory: measured curves, replicated codes, searches in parts.

Begin at :mod:`patchlib.scale.measure`, which is ``make scale``.
"""

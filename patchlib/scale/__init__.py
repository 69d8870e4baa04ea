"""Databases larger than a notebook: 100,000 real images, replicated codes, searches in parts, vector databases.

Begin at :mod:`patchlib.scale.measure`, which is ``make scale``.
"""

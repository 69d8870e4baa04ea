"""How the shipped weights were made: small encoders and a small matcher, trained on procedural scenes.

Begin at the notebooks ``appendix/A1`` and ``A2``.
"""

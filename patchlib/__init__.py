"""Companion of "Patch-wise Retrieval: A Bag of Practical Techniques for Instance-level Matching"."""

__version__ = "0.2.0"
__all__ = ["__version__"]

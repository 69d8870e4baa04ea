"""Frozen encoders under one interface: uint8 crops in, unit-length descriptors out.

Begin at :func:`create`. Which there are stands in ``encoders.yaml`` and is read by :mod:`patchlib.encoders.specs`.
"""

from patchlib.encoders.encoder import Encoder, create, export
from patchlib.encoders.networks import build_model
from patchlib.encoders.specs import EncoderSpec, card, names, registry, spec
from patchlib.encoders.text import encode_text

__all__ = ["Encoder", "EncoderSpec", "build_model", "card", "create", "encode_text", "export"]
__all__ += ["names", "registry", "spec"]

"""Text queries: the text encoders that share the space of an image encoder's descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib.encoders.networks import from_hub
from patchlib.encoders.specs import names, spec

BATCH = 64


def encode_text(
    name: str, texts: Sequence[str], device: str = "cpu", weights: str | None = None
) -> NDArray[np.float32]:
    """Descriptors of texts, to be compared with those of images by the encoder of that name.

    Args:
        name: of an encoder of the registry whose ``text`` names open_clip's model.
        texts: B queries, e.g. of :func:`patchlib.benchmarks.ilias.with_text_queries`; cut at the model's length.
        device: torch device.
        weights: None = the registered ones; ``"random"`` = seeded random initialisation.

    Returns:
        (B, D) float32 rows of unit length.

    Raises:
        ValueError: unknown encoder, one without a text encoder (names those that have one), or no text.
        FileNotFoundError: weights or words are neither here nor to be had (offline).

    Source: the text branch of ILIAS' baselines (feature_extraction, github.com/ilias-vrg/ilias): no prompt.
    """
    if not spec(name).text:
        having = ", ".join(other for other in names() if spec(other).text)
        raise ValueError(f"encoder {name!r} has no text encoder, so it takes no text queries; these do: {having}")
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"texts are {list(texts)[:3]!r}, expected queries of at least one word each")
    import torch

    model_name, _, tag = spec(name).text.partition("/")

    def load() -> tuple[Any, Any]:
        import open_clip

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = open_clip.create_model(model_name, pretrained=None if weights == "random" else tag)
        return model.eval().to(device), open_clip.get_tokenizer(model_name)

    what = f"the text encoder of {name} (open_clip {model_name}, {tag}) is"
    model, tokenizer = from_hub(load, what, "; the SigLIP models also need `pip install transformers`")
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            output = model.encode_text(tokenizer(list(texts[start : start + BATCH])).to(device))
            rows.append(torch.nn.functional.normalize(output.float(), dim=-1).cpu().numpy())
    return np.concatenate(rows)

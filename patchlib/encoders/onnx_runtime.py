"""Encoders by ONNX Runtime: on a CPU a convolutional network runs about three times as fast as by eager torch.

A network is exported once, from bytes to unit rows, into the cache; its file is named after what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from patchlib.support import files, paths, provenance

if TYPE_CHECKING:
    import torch


def available() -> bool:
    """Whether both packages are installed: one that runs networks and one that torch exports them with."""
    return all(find_spec(package) for package in ("onnxruntime", "onnxscript"))


def export(
    build: Callable[[], torch.nn.Module],
    scale: Sequence[float],
    shift: Sequence[float],
    side: int,
    config: Mapping[str, Any],
) -> Path:
    """The exported network, in the cache as ``onnx/<hash of config>.onnx``; made if it is not there.

    Args:
        build: gives the float32 network in evaluation mode on the CPU, (B, 3, side, side) -> (B, D).
        scale, shift: of the three channels; inputs are ``byte * scale + shift``.
        side: of the square crops in pixels.
        config: everything that decides what the network computes.
    """
    path = paths.cache() / "onnx" / f"{provenance.config_hash(config)}.onnx"
    with files.made_once(path) as missing:
        if missing:
            with provenance.atomic_write(path) as file:
                file.write(_serialised(build(), scale, shift, side))
    return path


def halved(path: Path) -> bytes:
    """An exported network with its weights as float16, widened when loaded: half the bytes, float32 arithmetic."""
    import onnx

    graph = (model := onnx.load(path)).graph
    wide = [one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT and np.prod(one.dims) > 1000]
    for tensor in wide:
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        name = f"{tensor.name}.half"
        graph.initializer.remove(tensor)
        graph.initializer.append(onnx.numpy_helper.from_array(half, name))
        graph.node.insert(0, onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    return model.SerializeToString()


def load(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function of the exported network: (B, side, side, 3) bytes -> (B, D) rows; one thread, callable from many.

    Raises:
        ValueError: the file is damaged; says to remove it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # extraction has a thread for each core
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes stand in a private module
        raise ValueError(f"exported network {path} is damaged ({type(error).__name__}); remove it") from error

    def encode(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        (rows,) = session.run(None, {"crops": np.ascontiguousarray(crops)})
        return rows

    return encode


def _serialised(model: torch.nn.Module, scale: Sequence[float], shift: Sequence[float], side: int) -> bytes:
    import torch

    class Whole(torch.nn.Module):
        """The network with its scaling before and the unit length behind it."""

        scale: torch.Tensor
        shift: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1))
            self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1))

        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            inputs = crops.permute(0, 3, 1, 2).float() * self.scale + self.shift
            return torch.nn.functional.normalize(self.model(inputs), dim=1)

    program = torch.onnx.export(
        Whole().eval(),
        (torch.zeros(2, side, side, 3, dtype=torch.uint8),),
        input_names=["crops"],
        output_names=["rows"],
        dynamic_shapes={"crops": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    exported = cast("torch.onnx.ONNXProgram", program).model_proto
    for node in exported.graph.node:  # they tell where in the source each came from, with this machine's paths
        del node.metadata_props[:]
    return exported.SerializeToString()

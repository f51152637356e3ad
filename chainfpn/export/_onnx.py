"""The packages of the extra ``onnx``, imported when they are needed."""

import importlib
from typing import Any


def require_onnx() -> Any:
    """Import onnx, or raise an ImportError that says how to get it."""
    return _require("onnx", "onnx.numpy_helper", "onnx.helper", "onnx.checker", "onnx.shape_inference")


def require_onnxruntime() -> Any:
    """Import onnxruntime, or raise an ImportError that says how to get it."""
    return _require("onnxruntime")


def _require(name, *submodules):
    try:
        for module in (*submodules, name):
            imported = importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{name} is missing ({error}); pip install 'chainfpn[onnx]'", name=name) from error
    return imported

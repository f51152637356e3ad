"""What Chainer's ONNX exporter misses in today's onnx; onnx is not imported until it is asked for."""

from typing import Any

from chainfpn.compat.shims import Module, WarningFilter


def _mapping() -> dict[str, Any]:
    """Return the namespace of ``onnx.mapping``, made with the functions of ``onnx.helper`` that took its place."""
    from onnx import helper

    types = sorted(helper.get_all_tensor_dtypes(), reverse=True)  # of two with one NumPy dtype, the first stays
    return {
        "NP_TYPE_TO_TENSOR_TYPE": {helper.tensor_dtype_to_np_dtype(t): t for t in types},
        "STORAGE_TENSOR_TYPE_TO_FIELD": {
            helper.tensor_dtype_to_storage_tensor_dtype(t): helper.tensor_dtype_to_field(t) for t in types
        },
    }


ONNX = (
    Module(
        "onnx.mapping",
        since="onnx 1.19",
        needed_by="onnx_chainer: export, context, functions",
        stand_in="its tables, made with onnx.helper",
        contents=_mapping,
    ),
    WarningFilter(
        r".mapping\.\w+. is now deprecated",
        since="onnx 1.13 (gone in 1.19)",
        needed_by="onnx_chainer: export, context, functions",
        category=DeprecationWarning,
        module="onnx",
    ),
)

"""A translator per function node: what it is in ONNX's operators."""

from collections.abc import Callable
from typing import Any

from chainfpn.export.trace import ExportError
from chainfpn.export.translators import arithmetic, layers, maps, shapes

#: Class of a function node to its translator, which takes a :class:`~chainfpn.export.translate.Site` and returns a
#: Tensor, a list of them, a Layer or an Expanded.
TRANSLATORS: dict[type, Callable] = {
    **layers.TRANSLATORS,
    **arithmetic.TRANSLATORS,
    **shapes.TRANSLATORS,
    **maps.TRANSLATORS,
}


def find_translator(function: Any) -> Callable:
    """Return the translator of a function node; a class that is derived from a known one may compute anything.

    Args:
        function (chainer.FunctionNode): The node.

    Returns:
        callable: The translator.

    Raises:
        ExportError: if there is none.
    """
    if type(function) in TRANSLATORS:
        return TRANSLATORS[type(function)]
    raise ExportError(f"there is no translation to ONNX of the function {function.label} ({type(function).__name__})")

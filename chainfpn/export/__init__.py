"""Models as ONNX files, and ONNX Runtime as an engine behind ``predict``.

Importing this package needs neither onnx nor onnxruntime; what needs them says so: ``pip install 'chainfpn[onnx]'``.
"""

from chainfpn.export.file import export_onnx
from chainfpn.export.trace import ExportError

__all__ = ["ExportError", "export_onnx"]

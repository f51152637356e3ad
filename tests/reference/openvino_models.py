"""ONNX files in OpenVINO."""

import pytest


def openvino_model(content):
    """Compile a model for one thread, or skip the test where OpenVINO is not installed.

    Args:
        content (bytes): Of the file.

    Returns:
        callable: The input to a dict of the outputs.
    """
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(content), "CPU", options)

    def run(x):
        return {name: array for output, array in model(x).items() for name in output.names}

    return run

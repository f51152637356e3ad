"""A detector in an ONNX file of ``chainfpn export``, without Chainer, and within a time."""

import json
import threading

import numpy as np
import onnxruntime


class OnnxDetector:
    """Run an end-to-end file.

    Args:
        path (str or path): The file.
        score (float): What detections must score at least.

    Attributes:
        label_names (list of str): From the file; empty if it has none.

    Raises:
        ValueError: if it is another file.
    """

    def __init__(self, path, score=0.5):
        self.score = score
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own kinds
            raise ValueError(f"{path}: must be a file that ONNX Runtime reads: {error}") from error
        texts = self._session.get_modelmeta().custom_metadata_map
        self.label_names = json.loads(texts.get("label_names", "null")) or []
        if texts.get("form") != "end_to_end":
            raise ValueError(f"{path}: must be an end-to-end file of chainfpn export")

    def __call__(self, img, seconds):
        """Detect objects.

        Args:
            img (array): float32, (3, H, W), RGB, 0..255.
            seconds (float): What it may take.

        Returns:
            list of dict: ``bbox``, yxyx in pixels of the image, ``label``, ``name`` and ``score``, best first.

        Raises:
            TimeoutError: if it takes longer.
        """
        options = onnxruntime.RunOptions()
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.start()
        try:
            found = self._session.run(["bboxes", "labels", "scores"], {"image": np.ascontiguousarray(img)}, options)
        except Exception as error:
            if options.terminate:
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()
        return [self._record(*each) for each in zip(*found, strict=True) if each[2] >= self.score]

    def _record(self, bbox, label, score):
        name = self.label_names[label] if self.label_names else str(label)
        bbox, score = bbox.astype(float).round(1).tolist(), round(float(score), 3)
        return {"bbox": bbox, "label": int(label), "name": name, "score": score}

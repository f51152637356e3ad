"""Matching of boxes with ground truth on CuPy arrays: one kernel, and one more for low-quality matches."""

from chainer.backends import cuda

from chainfpn._typing import Array
from chainfpn.functions.kernels.iou_match import BACKGROUND, IGNORED, match_dtype

#: Without fused multiply-add IoUs are those of the CPU, to the last bit.
OPTIONS = ("--fmad=false",)

#: As ``iou_match.iou_matrix``.
_IOU = """
template <typename V>
__device__ V iou(V top_a, V left_a, V bottom_a, V right_a, V top_b, V left_b, V bottom_b, V right_b) {
    const V width = max(min(right_a, right_b) - max(left_a, left_b), (V)0);
    const V height = max(min(bottom_a, bottom_b) - max(top_a, top_b), (V)0);
    const V shared = width * height;
    const V areas = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b);
    return shared / (areas - shared);
}
"""

_MATCH = f"""
T most = -1;
long long best = 0;
bool chosen = false;
for (long long r = 0; r < n_gt; ++r) {{
    const T v = iou<T>(gt[4 * r], gt[4 * r + 1], gt[4 * r + 2], gt[4 * r + 3], top, left, bottom, right);
    if (v > most) {{
        most = v;
        best = r;
    }}
    if (low_quality) chosen |= v == largest[r];
}}
matched = chosen ? best : most < bg_thresh ? {BACKGROUND} : most < fg_thresh ? {IGNORED} : best;
"""

#: Arguments of ``iou``: a ground truth box, and a box.
_GT = "T top_a, T left_a, T bottom_a, T right_a"
_BOX = "T top, T left, T bottom, T right"


def match(boxes: Array, gt_boxes: Array, fg_iou_thresh: float, bg_iou_thresh: float, low_quality: bool) -> Array:
    """Match each box with the ground truth box of highest IoU: see ``cpu_ops.match``."""
    with cuda.get_device_from_array(boxes):
        dtype = match_dtype(boxes, gt_boxes)
        boxes, gt_boxes = boxes.astype(dtype, copy=False), cuda.cupy.ascontiguousarray(gt_boxes, dtype)
        sides, largest = boxes.T, gt_boxes
        if low_quality:
            iou = "iou<T>(top_a, left_a, bottom_a, right_a, top, left, bottom, right)"
            steps = iou, "max(a, b)", "y = a", "-1", "largest_iou"
            kernel = cuda.reduce(f"{_GT}, {_BOX}", "T y", *steps, preamble=_IOU, options=OPTIONS)
            largest = kernel(*gt_boxes.T[:, :, None], *sides, axis=1)  # (R,)
        inputs = "raw T gt, int64 n_gt, raw T largest, T fg_thresh, T bg_thresh, bool low_quality"
        parameters = f"{_BOX}, {inputs}", "int64 matched"
        kernel = cuda.elementwise(*parameters, _MATCH, "match", preamble=_IOU, options=OPTIONS)
        return kernel(*sides, gt_boxes, len(gt_boxes), largest, fg_iou_thresh, bg_iou_thresh, low_quality)

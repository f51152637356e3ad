"""The peaks of heat maps on a GPU: what ``heatmaps_to_keypoints`` does there. R boxes, K keypoints, S cells a side."""

from chainer import backend
from chainer.backends import cuda

from chainfpn._typing import Array
from chainfpn.functions._resize import OPTIONS, REALS

#: Threads that share a heat map, every so many rows one.
SHARES = 64

#: The pixels of a box, and four taps of a cubic enlargement (Keys, a = -0.75) with the border repeated outwards.
_PREAMBLE = """
typedef %s Real;
struct Side { Real size; int n; };
__device__ Side get_side(Real low, Real high) {
    const Real size = high - low > 1 ? high - low : (Real)1;
    return {size, (int)ceil(size)};
}
struct Taps { int index[4]; Real weight[4]; };
__device__ Taps get_taps(int out, int n_in, int n_out) {
    const double at = (out + 0.5) * ((double)n_in / n_out) - 0.5;
    const int first = (int)floor(at);
    Taps taps;
    for (int k = 0; k < 4; ++k) {
        const int index = first + k - 1;
        const Real d = (Real)fabs(at - index);
        taps.index[k] = index < 0 ? 0 : index < n_in ? index : n_in - 1;
        taps.weight[k] = d <= 1 ? ((Real)1.25 * d - (Real)2.25) * d * d + 1
                                : (((Real)-0.75 * d + (Real)3.75) * d - 6) * d + 3;
    }
    return taps;
}
"""


#: The highest point of every so many rows of an enlarged heat map, and its place in it; -1 where there is none.
_PEAK_OF_SHARE = """
const ptrdiff_t map = i / shares, box = map / n_keypoints;
const int height = get_side(bbox[4 * box], bbox[4 * box + 2]).n;
const int width = get_side(bbox[4 * box + 1], bbox[4 * box + 3]).n;
peak = 0;
place = -1;
for (int y = i % shares; y < height; y += shares) {
    const Taps rows = get_taps(y, side, height);
    for (int x = 0; x < width; ++x) {
        const Taps columns = get_taps(x, side, width);
        Real sum = 0;
        for (int u = 0; u < 4; ++u) {
            Real column = 0;
            for (int v = 0; v < 4; ++v)
                column += rows.weight[v] * (Real)heat[(map * side + rows.index[v]) * side + columns.index[u]];
            sum += columns.weight[u] * column;
        }
        if (place < 0 || sum > peak) {
            peak = sum;
            place = y * width + x;
        }
    }
}
"""

#: The highest of those of a map, the first of equals, in pixels of the batch.
_PEAK_OF_MAP = """
int best = 0;
for (int k = 1; k < shares; ++k) {
    const ptrdiff_t at = i * shares + k, other = i * shares + best;
    const bool is_first = peaks[at] == peaks[other] && places[at] < places[other];
    if (places[at] >= 0 && (peaks[at] > peaks[other] || is_first)) best = k;
}
const ptrdiff_t box = 4 * (i / n_keypoints);
const Side rows = get_side(bbox[box], bbox[box + 2]), columns = get_side(bbox[box + 1], bbox[box + 3]);
const int place = places[i * shares + best];
score = peaks[i * shares + best];
point[2 * i] = (place / columns.n + (Real)0.5) * (rows.size / rows.n) + bbox[box];
point[2 * i + 1] = (place % columns.n + (Real)0.5) * (columns.size / columns.n) + bbox[box + 1];
"""


def find_peaks(heat: Array, bbox: Array) -> tuple[Array, Array]:
    """Find the peaks: see :func:`~chainfpn.links.detectors.keypoint_head.heatmaps_to_keypoints`.

    Args:
        heat (array): CuPy, float16/32/64, (R, K, S, S).
        bbox (array): CuPy, float32, or float64 if ``heat`` is, (R, 4), yxyx.

    Returns:
        tuple of array: Points (R, K, 2) and logits (R, K), dtype of bbox.
    """
    xp, maps = backend.get_array_module(heat), heat.shape[:2]
    preamble = _PREAMBLE % REALS[bbox.dtype]
    peaks, places = xp.empty((*maps, SHARES), bbox.dtype), xp.empty((*maps, SHARES), "i")
    cuda.elementwise(
        "raw T heat, raw U bbox, int32 n_keypoints, int32 side, int32 shares",
        "U peak, int32 place",
        _PEAK_OF_SHARE,
        "peaks_of_rows",
        preamble=preamble,
        options=OPTIONS,
    )(heat, bbox, *heat.shape[1:3], SHARES, peaks, places)
    point, score = xp.empty((*maps, 2), bbox.dtype), xp.empty(maps, bbox.dtype)
    cuda.elementwise(
        "raw U peaks, raw int32 places, raw U bbox, int32 n_keypoints, int32 shares",
        "U score, raw U point",
        _PEAK_OF_MAP,
        "peaks",
        preamble=preamble,
        options=OPTIONS,
    )(peaks, places, bbox, heat.shape[1], SHARES, score, point)
    return point, score

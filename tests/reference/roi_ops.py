"""The RoI ops as plain loops over RoIs, bins and pixels: slow, and easy to compare with the definitions.

Each returns the result and, for a given gradient of it, the gradient of the map. Coordinates are computed in ``real``
(float32, or float64 for float64 maps); values are summed in float64.
"""

import math

import numpy as np

LIMIT = 2.0**20


def _clipped(roi, scale, offset, real):
    """Corners y0, x0, y1, x1 in feature pixels; None if one is NaN."""
    if any(math.isnan(v) for v in roi):
        return None
    with np.errstate(over="ignore"):
        return [real(min(max(real(v) * real(scale) - real(offset), -LIMIT), LIMIT)) for v in roi]


def _samples(start, end, n_bins, b, sampling_ratio, at_least_one, extent, real):
    """(line, weight) pairs of each sample of bin ``b`` of an axis, and the number of samples."""
    length = end - start
    if at_least_one:
        length = max(length, real(1))
    size = length / real(n_bins)
    count = sampling_ratio if sampling_ratio > 0 else max(math.ceil(size), 0)
    samples = []
    for i in range(count):
        at = start + real(b) * size + (real(i) + real(0.5)) * size / real(count)
        if at < -1 or at > extent:
            continue
        at = max(at, real(0))
        low = min(int(at), extent - 1)
        upper = float(at) - low if low < extent - 1 else 0.0
        samples.append([(low, 1 - upper), (min(low + 1, extent - 1), upper)])
    return samples, count


def _bilinear(x, gy, rois, roi_indices, outsize, scale, sampling_ratio, channel_of, *, aligned, at_least_one):
    real = np.float64 if x.dtype == np.float64 else np.float32
    y, gx = np.zeros(gy.shape), np.zeros(x.shape)
    for r, roi in enumerate(rois):
        corners = _clipped(roi, scale, 0.5 if aligned else 0, real)
        if corners is None:
            continue
        for i in range(outsize[0]):
            rows, n = _samples(corners[0], corners[2], outsize[0], i, sampling_ratio, at_least_one, x.shape[2], real)
            for j in range(outsize[1]):
                columns, m = _samples(
                    corners[1], corners[3], outsize[1], j, sampling_ratio, at_least_one, x.shape[3], real
                )
                channels = channel_of(i, j)
                for row_taps in rows:
                    for column_taps in columns:
                        for row, v in row_taps:
                            for column, w in column_taps:
                                weight = v * w / (n * m)
                                y[r, :, i, j] += weight * x[roi_indices[r], channels, row, column]
                                gx[roi_indices[r], channels, row, column] += weight * gy[r, :, i, j]
    return y, gx


def roi_align(*args, sampling_ratio=-1, aligned=False):
    """Mean of bilinear samples; the arguments are x, gy, rois, roi_indices, outsize and scale."""
    return _bilinear(*args, sampling_ratio, lambda i, j: slice(None), aligned=aligned, at_least_one=not aligned)


def ps_roi_align(*args, sampling_ratio=-1):
    """Mean of bilinear samples, each bin from channels of its own; the arguments are those of ``roi_align``."""
    outh, outw = args[4]

    def channel_of(i, j):
        return slice(i * outw + j, None, outh * outw)

    return _bilinear(*args, sampling_ratio, channel_of, aligned=True, at_least_one=False)


def _round(v):
    """To the nearest int, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(v)) + 0.5), v))


def _window(start, end, n_bins, b, limit, real):
    """Pixels of bin ``b`` of an axis that covers [start, end)."""
    size = real(max(end - start, 1)) / real(n_bins)
    begin, stop = math.floor(real(b) * size) + start, math.ceil(real(b + 1) * size) + start
    return range(min(max(begin, 0), limit), min(max(stop, 0), limit))


def _pixel_bins(x, rois, outsize, scale, last, margin):
    """Yield each RoI, bin, and the bin's rows and columns, ``last`` behind the RoI's end, ``margin`` off the map's."""
    real = np.float64 if x.dtype == np.float64 else np.float32
    height, width = (side - margin for side in x.shape[2:])
    for r, roi in enumerate(rois):
        corners = _clipped(roi, scale, 0, real)
        if corners is None:
            continue
        y0, x0, y1, x1 = map(_round, corners)
        for i in range(outsize[0]):
            for j in range(outsize[1]):
                rows = _window(y0, y1 + last, outsize[0], i, height, real)
                yield r, i, j, rows, _window(x0, x1 + last, outsize[1], j, width, real)


def roi_pool(x, gy, rois, roi_indices, outsize, scale):
    """Maximum of the pixels of each bin, the last pixel included."""
    y, gx = np.zeros(gy.shape), np.zeros(x.shape)
    for r, i, j, rows, columns in _pixel_bins(x, rois, outsize, scale, last=1, margin=0):
        for c in range(x.shape[1]):
            best = None
            for row in rows:
                for column in columns:
                    v = x[roi_indices[r], c, row, column]
                    if best is None or v > y[r, c, i, j]:
                        best, y[r, c, i, j] = (row, column), v
            if best is not None:
                gx[(roi_indices[r], c, *best)] += gy[r, c, i, j]
    return y, gx


def ps_roi_pool(x, gy, rois, roi_indices, outsize, scale):
    """Mean of the pixels of each bin, from channels of its own; the map's last row and column are never read."""
    y, gx = np.zeros(gy.shape), np.zeros(x.shape)
    for r, i, j, rows, columns in _pixel_bins(x, rois, outsize, scale, last=0, margin=1):
        channels = slice(i * outsize[1] + j, None, outsize[0] * outsize[1])
        for row in rows:
            for column in columns:
                share = 1 / (len(rows) * len(columns))
                y[r, :, i, j] += share * x[roi_indices[r], channels, row, column]
                gx[roi_indices[r], channels, row, column] += share * gy[r, :, i, j]
    return y, gx


def adaptive_pool(x, outsize, reduce):
    """Reduce each bin of a grid over the whole map."""
    y = np.zeros((*x.shape[:2], *outsize), x.dtype)
    for i in range(outsize[0]):
        for j in range(outsize[1]):
            rows = slice(i * x.shape[2] // outsize[0], math.ceil((i + 1) * x.shape[2] / outsize[0]))
            columns = slice(j * x.shape[3] // outsize[1], math.ceil((j + 1) * x.shape[3] / outsize[1]))
            y[:, :, i, j] = reduce(x[:, :, rows, columns], axis=(2, 3))
    return y


def nms(bbox, thresh, score, label=None):
    """Drop a box that a better one, kept, of its label overlaps by more than ``thresh``; IoU in the boxes' dtype."""
    kept = []
    for k in sorted(range(len(bbox)), key=lambda k: -score[k]):
        for other in kept:
            if label is not None and label[k] != label[other]:
                continue
            height = max(min(bbox[k, 2], bbox[other, 2]) - max(bbox[k, 0], bbox[other, 0]), bbox.dtype.type(0))
            width = max(min(bbox[k, 3], bbox[other, 3]) - max(bbox[k, 1], bbox[other, 1]), bbox.dtype.type(0))
            shared = width * height
            union = _area(bbox[other]) + _area(bbox[k]) - shared
            if union != 0 and float(shared / union) > thresh:
                break
        else:
            kept.append(k)
    return np.array(kept, np.int64)


def _area(bb):
    return (bb[3] - bb[1]) * (bb[2] - bb[0])

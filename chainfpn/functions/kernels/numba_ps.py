"""ps_roi_align and ps_roi_pool for the CPU, compiled by Numba: one image and one bin at a time.

Bin (i, j) of output channel c belongs to input channel (c * outh + i) * outw + j. The pixels of a bin and their weights
are listed once for all channels. All RoIs read a plane while it is in the cache; results lie together by channel, so
that no two threads write to one line of it.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import arithmetic, inner_exact

#: Pixels that are listed at a time, if a bin does not need more.
LISTED = 1 << 15


@inner_exact
def _list_pixels(b, members, done, rows, columns, width, lists):
    """List the pixels of a bin for as many RoIs from ``members[done]`` on as there is room for; return how many."""
    place, weight, ends, count = lists
    i, j = divmod(b, columns.ends.shape[1])
    n, n_rois = 0, 0
    for r in members[done:]:
        top, bottom = rows.ends[r, i, 0], rows.ends[r, i, 1]
        left, right = columns.ends[r, j, 0], columns.ends[r, j, 1]
        if n_rois and n + (bottom - top) * (right - left) > place.size:
            break
        for a in range(top, bottom):
            for k in range(left, right):
                place[n] = rows.line[a] * width + columns.line[k]
                weight[n] = rows.weight[a] * columns.weight[k]
                n += 1
        count[n_rois] = max((bottom - top) * (right - left), 1)
        n_rois += 1
        ends[n_rois] = n
    return n_rois


@arithmetic
def forward(lists, x, width, b, members, rows, columns, is_mean, y):
    """Sum the pixels of a bin by their weights.

    Args:
        lists (tuple): Room for pixels (uint64), their weights, where those of each RoI end (uint64), their number.
        x (array): (C, H * W).
        width (int): W.
        b (int): The bin, of all of a RoI's.
        members (array): int64, the RoIs of this image.
        rows, columns (numba_bilinear.Taps): The taps of all RoIs.
        is_mean (bool): Whether to divide by the number of pixels.
        y (array): (bins, C_out, R'), receives the sums; 0 for no pixel.
    """
    place, weight, ends, count = lists
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    n_bins, channels, _ = y.shape
    done = 0
    while done < members.size:
        n_rois = _list_pixels(b, members, done, rows, columns, width, lists)
        for c in range(channels):
            plane = x[c * n_bins + b]
            for m in range(n_rois):
                sum0 = sum1 = sum2 = sum3 = x.dtype.type(0)  # one would wait for each addition, SIMD for each pixel
                k, end = ends[m], ends[m + 1]
                while k + three < end:
                    sum0 += weight[k] * plane[place[k]]
                    sum1 += weight[k + one] * plane[place[k + one]]
                    sum2 += weight[k + two] * plane[place[k + two]]
                    sum3 += weight[k + three] * plane[place[k + three]]
                    k += four
                while k < end:
                    sum0 += weight[k] * plane[place[k]]
                    k += one
                total = (sum0 + sum1) + (sum2 + sum3)
                y[b, c, members[done + m]] = total / count[m] if is_mean else total
        done += n_rois


@arithmetic
def backward(lists, gx, width, b, members, rows, columns, is_mean, gy):
    """Spread each gradient over the pixels of its bin: the transpose of ``forward``.

    Args:
        gx (array): (C, H * W), zeros on entry in the channels of the bin.
        lists, width, b, members, rows, columns, is_mean: As in ``forward``.
        gy (array): (bins, C_out, R').
    """
    place, weight, ends, count = lists
    n_bins, channels, _ = gy.shape
    done = 0
    while done < members.size:
        n_rois = _list_pixels(b, members, done, rows, columns, width, lists)
        for c in range(channels):
            plane = gx[c * n_bins + b]
            for m in range(n_rois):
                g = gy[b, c, members[done + m]]
                if is_mean:
                    g /= count[m]
                for k in range(ends[m], ends[m + 1]):
                    plane[place[k]] += weight[k] * g
        done += n_rois

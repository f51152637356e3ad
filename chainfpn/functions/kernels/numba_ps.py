"""ps_roi_align and ps_roi_pool for the CPU, compiled by Numba: one image and one bin at a time.

Bin (i, j) of output channel c belongs to input channel (c * outh + i) * outw + j. The pixels of a bin and their weights
are listed once for all channels. All RoIs read or write a copy of a plane that stays in the cache, for which the plane
itself is read or written in order; results lie together by channel, so that no two threads write to one line of it.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import arithmetic, copy, copy_transposed, exact, flat, inner_exact

#: Pixels that are listed at a time, if a bin does not need more.
LISTED = 1 << 15


@exact
def turn(a, begin, end, turned):
    """Copy the lines [begin, end) of (M, N) to (N, M)."""
    n, n_turned = a.shape[1], turned.shape[1]
    copy_transposed(flat(a), begin * n, n, end - begin, n, flat(turned), begin, n_turned)


@inner_exact
def _list_pixels(b, members, done, rows, columns, width, lists):
    """List the pixels of a bin for as many RoIs from ``members[done]`` on as there is room for; return how many."""
    place, weight, ends, count = lists
    i, j = divmod(b, columns.ends.shape[1])
    n, n_rois = np.uint64(0), 0
    for r in members[done:]:
        top, bottom = rows.ends[r, i]
        left, right = columns.ends[r, j]
        n_pixels = max(bottom - top, 0) * max(right - left, 0)
        if n_rois and n + np.uint64(n_pixels) > np.uint64(place.size):
            break
        for a in range(top, bottom):
            start, row_weight = np.uint32(rows.line[a] * width), rows.weight[a]
            for k in range(np.uint64(left), np.uint64(right)):
                place[n] = start + np.uint32(columns.line[k])
                weight[n] = row_weight * columns.weight[k]
                n += np.uint64(1)
        count[n_rois] = max(n_pixels, 1)
        n_rois += 1
        ends[n_rois] = n
    return n_rois


@arithmetic
def forward(lists, plane, x, width, b, members, rows, columns, is_mean, y):
    """Sum the pixels of a bin by their weights.

    Args:
        lists (tuple): Room for pixels (uint32), their weights, where those of each RoI end (uint64), their number.
        plane (array): (H * W,), overwritten.
        x (array): (C, H * W).
        width (int): W.
        b (int): The bin, of all of a RoI's.
        members (array): int64, the RoIs of this image.
        rows, columns (numba_bilinear.Taps): The taps of all RoIs.
        is_mean (bool): Whether to divide by the number of pixels.
        y (array): (C_out, bins, R'), receives the sums; 0 for no pixel.
    """
    place, weight, ends, count = lists
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    channels, n_bins, _ = y.shape
    done = 0
    while done < members.size:
        n_rois = _list_pixels(b, members, done, rows, columns, width, lists)
        for c in range(channels):
            copy(x[c * n_bins + b], plane)
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
                y[c, b, members[done + m]] = total / count[m] if is_mean else total
        done += n_rois


@arithmetic
def backward(lists, plane, gx, width, b, members, rows, columns, is_mean, gy):
    """Spread each gradient over the pixels of its bin: the transpose of ``forward``.

    Args:
        gx (array): (C, H * W), receives the channels of the bin.
        lists, plane, width, b, members, rows, columns, is_mean: As in ``forward``.
        gy (array): (C_out, bins, R').
    """
    place, weight, ends, count = lists
    channels, n_bins, _ = gy.shape
    done = 0
    while done < max(members.size, 1):
        n_rois = _list_pixels(b, members, done, rows, columns, width, lists)
        for c in range(channels):
            if done:
                copy(gx[c * n_bins + b], plane)
            else:
                plane[:] = 0
            for m in range(n_rois):
                g = gy[c, b, members[done + m]]
                if is_mean:
                    g /= count[m]
                for k in range(ends[m], ends[m + 1]):
                    plane[place[k]] += weight[k] * g
            copy(plane, gx[c * n_bins + b])
        done += max(n_rois, 1)

// Bilinear samples: sample i of bin b on an axis lies at start + b * size + (i + 0.5) * size / count.

// Channels one thread pools: the samples' places are computed once for all of them.
#define CHANNELS 8

template <typename R>
struct Axis {
    R start, size;
    int count;
};

// The two axes of a RoI, rows first; without samples if a corner is NaN.
template <typename R, typename I>
__device__ inline void read_axes(const R* rois, I r, R scale, R offset, bool at_least_one, int sampling_ratio,
                                 const int* outsize, Axis<R>* axes) {
    R corners[4];
    const bool is_number = feature_corners(rois, r, scale, offset, corners);
    for (int k = 0; k < 2; ++k) {
        R extent = corners[2 + k] - corners[k];
        if (at_least_one && extent < 1) extent = 1;
        axes[k].start = corners[k];
        axes[k].size = extent / (R)outsize[k];
        const int adaptive = axes[k].size > 0 ? (int)ceil(axes[k].size) : 0;
        axes[k].count = !is_number ? 0 : (sampling_ratio > 0 ? sampling_ratio : adaptive);
    }
}

// The samples of a bin that can read the lines [low, high]: a range that errs on the wide side.
template <typename R>
__device__ inline void sample_range(const Axis<R>& axis, R base, R low, R high, int* begin, int* end) {
    *begin = 0;
    *end = axis.count;
    const R step = axis.size / (R)axis.count;
    if (axis.count > 0 && step > 0) {
        *begin = (int)clip((low - base) / step - 2, (R)0, (R)axis.count);
        *end = (int)clip((high - base) / step + 2, (R)0, (R)axis.count);
    }
}

// The lower line that sample i of a bin reads, and the weight of the line above it; false outside the map.
template <typename R>
__device__ inline bool place_sample(const Axis<R>& axis, R base, int i, int extent, int* low, R* upper) {
    R at = base + ((R)i + (R)0.5) * axis.size / (R)axis.count;
    if (at < -1 || at > (R)extent) return false;
    at = at > 0 ? at : (R)0;
    *low = (int)at;
    *upper = at - (R)*low;
    if (*low >= extent - 1) {
        *low = extent - 1;
        *upper = 0;
    }
    return true;
}

// Call visit(row, column, weight) for each pixel a bin reads; the weights are the mean's.
template <typename R, typename Visit>
__device__ inline void visit_bin(const Axis<R>* axes, int i, int j, int height, int width, Visit visit) {
    const Axis<R>&rows = axes[0], &columns = axes[1];
    const R base_y = rows.start + (R)i * rows.size, base_x = columns.start + (R)j * columns.size;
    const R share = (R)1 / ((R)rows.count * (R)columns.count);
    int y_begin, y_end, x_begin, x_end, y, x;
    R above, right;
    sample_range(rows, base_y, (R)-1, (R)height, &y_begin, &y_end);
    sample_range(columns, base_x, (R)-1, (R)width, &x_begin, &x_end);
    for (int p = y_begin; p < y_end; ++p) {
        if (!place_sample(rows, base_y, p, height, &y, &above)) continue;
        const int y_next = y + 1 < height ? y + 1 : y;
        for (int q = x_begin; q < x_end; ++q) {
            if (!place_sample(columns, base_x, q, width, &x, &right)) continue;
            const int x_next = x + 1 < width ? x + 1 : x;
            visit(y, x, (1 - above) * (1 - right) * share);
            visit(y, x_next, (1 - above) * right * share);
            visit(y_next, x, above * (1 - right) * share);
            visit(y_next, x_next, above * right * share);
        }
    }
}

// The bins of an axis that can read a line: a range that errs on the wide side.
template <typename R>
__device__ inline void bin_range(const Axis<R>& axis, int line, int extent, int n_bins, int* begin, int* end) {
    *begin = 0;
    *end = n_bins;
    if (axis.size > 0) {
        const R low = (R)line - 1, high = line == extent - 1 ? (R)extent : (R)line + 1;
        *begin = (int)clip((low - axis.start) / axis.size - 1, (R)0, (R)n_bins);
        *end = (int)clip((high - axis.start) / axis.size + 2, (R)0, (R)n_bins);
    }
}

// How much a line counts in the mean of a bin.
template <typename R>
__device__ inline R line_weight(const Axis<R>& axis, int bin, int line, int extent) {
    const R base = axis.start + (R)bin * axis.size;
    int begin, end, low;
    R upper, weight = 0;
    sample_range(axis, base, (R)line - 1, line == extent - 1 ? (R)extent : (R)line + 1, &begin, &end);
    for (int i = begin; i < end; ++i) {
        if (!place_sample(axis, base, i, extent, &low, &upper)) continue;
        if (low == line) weight += 1 - upper;
        if (low + 1 == line) weight += upper;
    }
    return axis.count > 0 ? weight / (R)axis.count : (R)0;
}

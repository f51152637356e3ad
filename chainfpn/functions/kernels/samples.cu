// Bilinear samples: sample i of bin b on an axis lies at start + b * size + (i + 0.5) * size / count.

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

// Call visit(row, column, weight) for each pixel a bin reads; the weights are the mean's. For RoIs too large to list taps.
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
#pragma unroll 1
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

// Bilinear interpolation is separable: a bin is the sum over rows of the sums over columns. A tap is a line (row or column)
// and its weight; samples that share a line share its tap. A block lists the taps of a RoI once, in shared memory.
#define MOST_TAPS 256
#define MOST_BINS 128

template <typename R>
struct Tap {
    int line;
    R weight;
};

template <typename R>
struct Taps {
    Tap<R> of[2][MOST_TAPS];
    int count[2][MOST_BINS];
};

// Taps there is room for, a bin.
__device__ inline int tap_room(int n_bins) { return MOST_TAPS / n_bins; }

// Whether the taps of all bins of an axis have room.
template <typename R>
__device__ inline bool taps_fit(const Axis<R>& axis, int n_bins, int extent) {
    if (axis.size < 0 || n_bins > MOST_BINS) return false;
    const int room = tap_room(n_bins);
    return axis.count <= room / 2 || extent <= room || axis.size + 3 <= (R)room;
}

// List the taps of a bin, ascending.
template <typename R>
__device__ inline int list_taps(const Axis<R>& axis, int bin, int extent, Tap<R>* taps) {
    const R base = axis.start + (R)bin * axis.size, share = (R)1 / (R)axis.count;
    int begin, end, low, n = 0, last = -1;  // last: the line of the highest tap
    R upper;
    sample_range(axis, base, (R)-1, (R)extent, &begin, &end);
    for (int i = begin; i < end; ++i) {
        if (!place_sample(axis, base, i, extent, &low, &upper)) continue;
        if (low > last) taps[n].line = last = low, taps[n++].weight = 0;
        taps[n - 1 - (last - low)].weight += (1 - upper) * share;
        if (upper == 0) continue;
        if (low + 1 > last) taps[n].line = last = low + 1, taps[n++].weight = 0;
        taps[n - 1].weight += upper * share;
    }
    return n;
}

// List the taps of a RoI if they have room; to be called by all threads of a block.
template <typename R>
__device__ inline bool list_all_taps(const Axis<R>* axes, int outh, int outw, int height, int width, Taps<R>* taps) {
    const bool fit = taps_fit(axes[0], outh, height) && taps_fit(axes[1], outw, width);
    const int bin = (int)threadIdx.x % MOST_BINS, k = (int)threadIdx.x / MOST_BINS;
    const Axis<R> axis = k == 0 ? axes[0] : axes[1];
    const int n_bins = k == 0 ? outh : outw;
    if (fit && k < 2 && bin < n_bins)
        taps->count[k][bin] = list_taps(axis, bin, k == 0 ? height : width, taps->of[k] + bin * tap_room(n_bins));
    __syncthreads();
    return fit;
}

// As visit_bin, by the taps.
template <typename R, typename Visit>
__device__ inline void visit_taps(const Taps<R>& taps, int i, int j, int outh, int outw, Visit visit) {
    const Tap<R>*rows = taps.of[0] + i * tap_room(outh), *columns = taps.of[1] + j * tap_room(outw);
    const int n_rows = taps.count[0][i], n_columns = taps.count[1][j];
    for (int a = 0; a < n_rows; ++a) {
        const Tap<R> row = rows[a];
        for (int b = 0; b < n_columns; ++b) visit(row.line, columns[b].line, row.weight * columns[b].weight);
    }
}

// The bins of an axis that can read one of some lines: a range that errs on the wide side.
template <typename R>
__device__ inline void bin_range(const Axis<R>& axis, int first, int last, int n_bins, int* begin, int* end) {
    *begin = 0;
    *end = n_bins;
    if (axis.size > 0) {
        *begin = (int)clip(((R)first - 1 - axis.start) / axis.size - 1, (R)0, (R)n_bins);
        *end = (int)clip(((R)last + 1 - axis.start) / axis.size + 2, (R)0, (R)n_bins);
    }
}

// How much a line counts in the mean of a bin.
template <typename R>
__device__ inline R line_weight(const Axis<R>& axis, int bin, int line, int extent) {
    const R base = axis.start + (R)bin * axis.size;
    int begin, end, low;
    R upper, weight = 0;
    sample_range(axis, base, (R)line - 1, (R)line + 1, &begin, &end);
    for (int i = begin; i < end; ++i) {
        if (!place_sample(axis, base, i, extent, &low, &upper)) continue;
        if (low == line) weight += 1 - upper;
        if (low + 1 == line) weight += upper;
    }
    return axis.count > 0 ? weight / (R)axis.count : (R)0;
}

// The pixels that the bins of a RoI read, in shared memory: where bins share pixels they are fetched once, and all at the
// same time. What is staged lies ahead of them; half as many channels are taken at a time as from global memory.

struct Patch {
    int row, column, n_rows, n_columns;
};

// The lines that bins begin to end - 1 of an axis read: first and last, and how often one is read.
template <typename R>
__device__ inline int tap_lines(const Taps<R>& taps, int axis, int begin, int end, int n_bins, int* first, int* last) {
    int n_taps = 0;
    for (int b = begin; b < end; ++b) {
        const int count = taps.count[axis][b];
        if (count == 0) continue;
        const Tap<R>* of = taps.of[axis] + b * tap_room(n_bins);
        if (n_taps == 0) *first = of[0].line;
        *last = of[count - 1].line;
        n_taps += count;
    }
    return n_taps;
}

// Find the pixels that rows begin to end - 1 of bins read; false if there are none, more than there is room for, or more
// than reads.
template <typename R>
__device__ inline bool find_patch(const Taps<R>& taps, int begin, int end, int outh, int outw, int room, Patch* patch) {
    int last_row, last_column;
    const int row_taps = tap_lines(taps, 0, begin, end, outh, &patch->row, &last_row);
    const int column_taps = tap_lines(taps, 1, 0, outw, outw, &patch->column, &last_column);
    if (row_taps == 0 || column_taps == 0) return false;
    patch->n_rows = last_row - patch->row + 1;
    patch->n_columns = last_column - patch->column + 1;
    const long long n_pixels = (long long)patch->n_rows * patch->n_columns;
    return n_pixels <= room && n_pixels <= row_taps * column_taps;
}

// Call move(pixel of the patch, pixel of the map), a warp a pixel.
template <typename I, typename Move>
__device__ inline void each_pixel(const Patch& patch, int width, Move move) {
    const int warp = (int)threadIdx.x / LANES, n_warps = (int)blockDim.x / LANES, n_pixels = patch.n_rows * patch.n_columns;
    const int columns = n_warps % patch.n_columns, step = n_warps / patch.n_columns * width + columns;
    int column = warp % patch.n_columns;
    I pixel = (I)(patch.row + warp / patch.n_columns) * width + patch.column + column;
#pragma unroll 4
    for (int p = warp; p < n_pixels; p += n_warps) {
        move(p, pixel);
        column += columns;
        pixel += step;
        if (column >= patch.n_columns) {
            column -= patch.n_columns;
            pixel += width - patch.n_columns;
        }
    }
}

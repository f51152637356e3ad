// ps_roi_align: bin (i, j) of output channel c reads input channel (c * outh + i) * outw + j. "channels" are the output's.
// A block takes SHARE bins and channels of one RoI. Neighbouring threads read planes of their own, and a thread the few taps
// of a row from wherever they begin, so that half16 makes no pairs; the same holds for ps_roi_pool.

#define SHARE 512

// Call visit(element of the result, plane of the map, row, column, weight) for each pixel that the block reads.
template <typename T, typename I, typename Visit, typename Done>
__device__ inline void ps_visit(I task, const Real<T>* rois, const int* roi_indices, I n_images, I channels, int height,
                                int width, int outh, int outw, Real<T> scale, Real<T> offset, int at_least_one,
                                int sampling_ratio, Visit visit, Done done) {
    __shared__ Taps<Real<T>> taps;
    const int outsize[2] = {outh, outw};
    const I n = channels * outh * outw, n_shares = (n + SHARE - 1) / SHARE, r = task / n_shares;
    const I begin = task % n_shares * SHARE, end = n - begin < SHARE ? n : begin + SHARE, image = roi_indices[r];
    Axis<Real<T>> axes[2];
    read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
    const bool is_image = image >= 0 && image < n_images;
    if (!is_image) axes[0].count = axes[1].count = 0;
    const bool fit = list_all_taps(axes, outh, outw, height, width, &taps);
    for (I e = begin + (I)threadIdx.x; e < end; e += (I)blockDim.x) {
        const int i = (int)(e / outw % outh), j = (int)(e % outw);
        const I plane = ((is_image ? image : 0) * n + e) * height * width;
        const auto visit_pixel = [&](int row, int column, Real<T> weight) {
            visit(r * n + e, plane + (I)row * width + column, weight);
        };
        if (fit)
            visit_taps(taps, i, j, outh, outw, visit_pixel);
        else
            visit_bin(axes, i, j, height, width, visit_pixel);
        done(r * n + e, is_image);
    }
    __syncthreads();
}

template <typename T, typename I>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void ps_align_forward(const T* x, const Real<T>* rois, const int* roi_indices, I n_images, I n_tasks,
                                 I channels, int height, int width, int outh, int outw, Real<T> scale, Real<T> offset,
                                 int at_least_one, int sampling_ratio, T* y) {
    typedef Real<T> R;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        R sum = 0;
        ps_visit<T, I>(
            task, rois, roi_indices, n_images, channels, height, width, outh, outw, scale, offset, at_least_one,
            sampling_ratio, [&](I, I pixel, R weight) { sum += weight * read(x[pixel]); },
            [&](I e, bool is_image) {
                write(y + e, is_image ? sum : sqrt((R)-1));
                sum = 0;
            });
    }
}

// The transpose by atomic addition; gx is zero on entry.
template <typename T, typename I>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void ps_align_backward(const T* gy, const Real<T>* rois, const int* roi_indices, I n_images, I n_tasks,
                                  I channels, int height, int width, int outh, int outw, Real<T> scale, Real<T> offset,
                                  int at_least_one, int sampling_ratio, Real<T>* gx) {
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x)
        ps_visit<T, I>(
            task, rois, roi_indices, n_images, channels, height, width, outh, outw, scale, offset, at_least_one,
            sampling_ratio, [&](I e, I pixel, Real<T> weight) { atomicAdd(gx + pixel, weight * read(gy[e])); },
            [](I, bool) {});
}

// The transpose without atomics: a block gathers what a tile of a plane gets from its bin, RoI after RoI; see align_gather.
template <typename T, typename I>
__global__ void ps_align_gather(const T* gy, const Real<T>* rois, const int* order, const int* ends, I n_tasks, I channels,
                                int height, int width, int outh, int outw, Real<T> scale, Real<T> offset,
                                int at_least_one, int sampling_ratio, T* gx) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n = channels * outh * outw;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        const Tile<I> tile = read_tile(task, height, width);
        const I image = tile.plane / n, e = tile.plane % n;
        const int i = (int)(e / outw % outh), j = (int)(e % outw);
        struct Axes {
            Axis<R> of[2];
        };
        R sum = 0;
        const auto reaches = [&](I r, Axes* found) {
            Axes axes;
            read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes.of);
            *found = axes;
            int begin[2], end[2];
            bin_range(axes.of[0], tile.row, tile.row + TILE_ROWS - 1, outh, begin, end);
            bin_range(axes.of[1], tile.column, tile.column + LANES - 1, outw, begin + 1, end + 1);
            return begin[0] <= i && i < end[0] && begin[1] <= j && j < end[1];
        };
        each_hit<Axes>(order, ends[image], ends[image + 1], reaches, [&](I r, const Axes& axes) {
            const R over_rows = tile.is_pixel ? line_weight(axes.of[0], i, tile.y, height) : (R)0;
            if (over_rows == 0) return;
            const R weight = over_rows * line_weight(axes.of[1], j, tile.x, width);
            if (weight != 0) sum += weight * read(gy[r * n + e]);
        });
        if (tile.is_pixel) write(gx + (tile.plane * height + tile.y) * width + tile.x, sum);
    }
}

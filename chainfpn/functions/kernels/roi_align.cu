// roi_align. A thread pools one bin of CHANNELS channels; neighbouring threads write neighbouring bins.

template <typename T, typename I>
__global__ void align_forward(const T* x, const Real<T>* rois, const int* roi_indices, I n_rois, I channels, int height,
                              int width, int outh, int outw, Real<T> scale, Real<T> offset, int at_least_one,
                              int sampling_ratio, T* y) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, n_blocks = (channels + CHANNELS - 1) / CHANNELS, plane = (I)height * width;
    for (EACH(I, index, n_rois * n_blocks * n_bins)) {
        const int bin = (int)(index % n_bins);
        const I first = index / n_bins % n_blocks * CHANNELS, r = index / n_bins / n_blocks;
        const int n = channels - first < CHANNELS ? (int)(channels - first) : CHANNELS;
        const T* from = x + ((I)roi_indices[r] * channels + first) * plane;
        Axis<R> axes[2];
        read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
        R sum[CHANNELS];
        for (int c = 0; c < CHANNELS; ++c) sum[c] = 0;
        visit_bin(axes, bin / outw, bin % outw, height, width, [&](int row, int column, R weight) {
            for (int c = 0; c < CHANNELS; ++c)
                if (c < n) sum[c] += weight * read(from[c * plane + (I)row * width + column]);
        });
        for (int c = 0; c < CHANNELS; ++c)
            if (c < n) write(y + (r * channels + first + c) * n_bins + bin, sum[c]);
    }
}

// The transpose by atomic addition: fast, its order of summation varies. gx is zero on entry.
template <typename T, typename I>
__global__ void align_backward(const T* gy, const Real<T>* rois, const int* roi_indices, I n_rois, I channels, int height,
                               int width, int outh, int outw, Real<T> scale, Real<T> offset, int at_least_one,
                               int sampling_ratio, Real<T>* gx) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, n_blocks = (channels + CHANNELS - 1) / CHANNELS, plane = (I)height * width;
    for (EACH(I, index, n_rois * n_blocks * n_bins)) {
        const int bin = (int)(index % n_bins);
        const I first = index / n_bins % n_blocks * CHANNELS, r = index / n_bins / n_blocks;
        const int n = channels - first < CHANNELS ? (int)(channels - first) : CHANNELS;
        R* to = gx + ((I)roi_indices[r] * channels + first) * plane;
        Axis<R> axes[2];
        read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
        R g[CHANNELS];
        for (int c = 0; c < CHANNELS; ++c) g[c] = c < n ? read(gy[(r * channels + first + c) * n_bins + bin]) : (R)0;
        visit_bin(axes, bin / outw, bin % outw, height, width, [&](int row, int column, R weight) {
            for (int c = 0; c < CHANNELS; ++c)
                if (c < n) atomicAdd(to + c * plane + (I)row * width + column, weight * g[c]);
        });
    }
}

// The transpose without atomics: a thread gathers what one pixel of CHANNELS channels gets, RoI after RoI.
// Image b has the RoIs order[ends[b]] ... order[ends[b + 1] - 1].
template <typename T, typename I>
__global__ void align_gather(const T* gy, const Real<T>* rois, const int* order, const int* ends, I n_images, I channels,
                             int height, int width, int outh, int outw, Real<T> scale, Real<T> offset, int at_least_one,
                             int sampling_ratio, T* gx) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, n_blocks = (channels + CHANNELS - 1) / CHANNELS, plane = (I)height * width;
    for (EACH(I, index, n_images * n_blocks * plane)) {
        const int column = (int)(index % width), row = (int)(index / width % height);
        const I first = index / plane % n_blocks * CHANNELS, image = index / plane / n_blocks;
        const int n = channels - first < CHANNELS ? (int)(channels - first) : CHANNELS;
        R sum[CHANNELS];
        for (int c = 0; c < CHANNELS; ++c) sum[c] = 0;
        for (int k = ends[image]; k < ends[image + 1]; ++k) {
            const I r = order[k];
            Axis<R> axes[2];
            read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
            int i_begin, i_end, j_begin, j_end;
            bin_range(axes[0], row, height, outh, &i_begin, &i_end);
            bin_range(axes[1], column, width, outw, &j_begin, &j_end);
            if (j_begin >= j_end) continue;
            for (int i = i_begin; i < i_end; ++i) {
                const R over_rows = line_weight(axes[0], i, row, height);
                if (over_rows == 0) continue;
                for (int j = j_begin; j < j_end; ++j) {
                    const R weight = over_rows * line_weight(axes[1], j, column, width);
                    if (weight == 0) continue;
                    for (int c = 0; c < CHANNELS; ++c)
                        if (c < n) sum[c] += weight * read(gy[(r * channels + first + c) * n_bins + i * outw + j]);
                }
            }
        }
        for (int c = 0; c < CHANNELS; ++c)
            if (c < n) write(gx + (image * channels + first + c) * plane + (I)row * width + column, sum[c]);
    }
}

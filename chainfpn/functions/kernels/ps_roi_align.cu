// ps_roi_align: bin (i, j) of output channel c reads input channel (c * outh + i) * outw + j. "channels" are the output's.

template <typename T, typename I>
__global__ void ps_align_forward(const T* x, const Real<T>* rois, const int* roi_indices, I n_rois, I channels, int height,
                                 int width, int outh, int outw, Real<T> scale, Real<T> offset, int at_least_one,
                                 int sampling_ratio, T* y) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, plane = (I)height * width;
    for (EACH(I, index, n_rois * channels * n_bins)) {
        const int bin = (int)(index % n_bins);
        const I c = index / n_bins % channels, r = index / n_bins / channels;
        const T* from = x + (((I)roi_indices[r] * channels + c) * n_bins + bin) * plane;
        Axis<R> axes[2];
        read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
        R sum = 0;
        visit_bin(axes, bin / outw, bin % outw, height, width,
                  [&](int row, int column, R weight) { sum += weight * read(from[(I)row * width + column]); });
        write(y + index, sum);
    }
}

// The transpose by atomic addition; gx is zero on entry.
template <typename T, typename I>
__global__ void ps_align_backward(const T* gy, const Real<T>* rois, const int* roi_indices, I n_rois, I channels,
                                  int height, int width, int outh, int outw, Real<T> scale, Real<T> offset,
                                  int at_least_one, int sampling_ratio, Real<T>* gx) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, plane = (I)height * width;
    for (EACH(I, index, n_rois * channels * n_bins)) {
        const int bin = (int)(index % n_bins);
        const I c = index / n_bins % channels, r = index / n_bins / channels;
        R* to = gx + (((I)roi_indices[r] * channels + c) * n_bins + bin) * plane;
        Axis<R> axes[2];
        read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
        const R g = read(gy[index]);
        visit_bin(axes, bin / outw, bin % outw, height, width,
                  [&](int row, int column, R weight) { atomicAdd(to + (I)row * width + column, weight * g); });
    }
}

// The transpose without atomics: a thread gathers what one pixel gets from its bin, RoI after RoI; see align_gather.
template <typename T, typename I>
__global__ void ps_align_gather(const T* gy, const Real<T>* rois, const int* order, const int* ends, I n_images,
                                I channels, int height, int width, int outh, int outw, Real<T> scale, Real<T> offset,
                                int at_least_one, int sampling_ratio, T* gx) {
    typedef Real<T> R;
    const int outsize[2] = {outh, outw};
    const I n_bins = (I)outh * outw, plane = (I)height * width;
    for (EACH(I, index, n_images * channels * n_bins * plane)) {
        const int column = (int)(index % width), row = (int)(index / width % height);
        const int bin = (int)(index / plane % n_bins);
        const I c = index / plane / n_bins % channels, image = index / plane / n_bins / channels;
        R sum = 0;
        for (int k = ends[image]; k < ends[image + 1]; ++k) {
            const I r = order[k];
            Axis<R> axes[2];
            read_axes(rois, r, scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
            const R over_rows = line_weight(axes[0], bin / outw, row, height);
            if (over_rows == 0) continue;
            const R weight = over_rows * line_weight(axes[1], bin % outw, column, width);
            if (weight != 0) sum += weight * read(gy[(r * channels + c) * n_bins + bin]);
        }
        write(gx + index, sum);
    }
}

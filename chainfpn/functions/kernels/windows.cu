// Pooling over windows of whole pixels: roi_pool, adaptive_max_pool_2d, ps_roi_pool.

struct Window {
    int begin, end;
};

template <typename R>
__device__ inline int round_half_away(R v) {
    const R whole = trunc(v);
    return (int)whole + (fabs(v - whole) >= (R)0.5 ? (v < 0 ? -1 : 1) : 0);
}

// Bin i of n that share the pixels from start to end, rounded outwards and clipped to [0, limit].
template <typename R>
__device__ inline Window cut(int start, int end, int i, int n, int limit) {
    const R size = (R)(end - start > 1 ? end - start : 1) / (R)n;
    Window window;
    window.begin = clip((int)floor((R)i * size) + start, 0, limit);
    window.end = clip((int)ceil((R)(i + 1) * size) + start, 0, limit);
    return window;
}

// The window of bin (i, j): rows first. roi_pool includes the last pixel (last 1), ps_roi_pool leaves it out (0) and
// clips to the last row and column of the map (margin 1).
template <typename R, typename I>
__device__ inline void roi_windows(const R* rois, I r, R scale, int i, int j, int outh, int outw, int height, int width,
                                   int last, int margin, Window* windows) {
    R corners[4];
    if (!feature_corners(rois, r, scale, (R)0, corners)) {
        windows[0].begin = windows[0].end = windows[1].begin = windows[1].end = 0;
        return;
    }
    windows[0] = cut<R>(round_half_away(corners[0]), round_half_away(corners[2]) + last, i, outh, height - margin);
    windows[1] = cut<R>(round_half_away(corners[1]), round_half_away(corners[3]) + last, j, outw, width - margin);
}

// Pixels of a window that a thread asks for before it looks at one.
#define AHEAD 4

__device__ inline bool is_empty(const Window* windows) {
    return windows[0].end <= windows[0].begin || windows[1].end <= windows[1].begin;
}

// Call visit(pixel, what was fetched of it) for those of a window, row by row; past its end the last one is fetched again.
template <typename Fetch, typename Visit>
__device__ inline void each_fetched(const Window* windows, int width, Fetch fetch, Visit visit) {
    if (is_empty(windows)) return;
    const int n_columns = windows[1].end - windows[1].begin;
    int pixel = windows[0].begin * width + windows[1].begin, end_of_row = pixel + n_columns;
    for (int left = (windows[0].end - windows[0].begin) * n_columns; left > 0; left -= AHEAD) {
        decltype(fetch(0)) ahead[AHEAD];
        int pixels[AHEAD];
#pragma unroll
        for (int k = 0; k < AHEAD; ++k) {
            pixels[k] = pixel;
            ahead[k] = fetch(pixel);
            if (k + 1 < left && ++pixel == end_of_row) {
                pixel += width - n_columns;
                end_of_row += width;
            }
        }
#pragma unroll
        for (int k = 0; k < AHEAD; ++k)
            if (k < left) visit(pixels[k], ahead[k]);
    }
}

// The maxima of a window in N planes and their pixels; the first in row order among equals, -1 and lowest if nothing exceeds
// lowest. fetch(pixel) reads the planes.
template <int N, typename T, typename Fetch>
__device__ inline void window_max(const Window* windows, int width, Real<T> lowest, Fetch fetch, Real<T>* best, int* places) {
    for (int n = 0; n < N; ++n) {
        best[n] = lowest;
        places[n] = -1;
    }
    each_fetched(windows, width, fetch, [&](int pixel, const Pack<T, N>& values) {
        for (int n = 0; n < N; ++n) {
            const Real<T> v = read(values.of[n]);
            if (v > best[n]) {
                best[n] = v;
                places[n] = pixel;
            }
        }
    });
    if (is_empty(windows))
        for (int n = 0; n < N; ++n) best[n] = 0;
}

// roi_pool on a packed map (pyramid.cu). A warp takes a bin, its threads pairs of channels. argmax may be null.
#define POOL_BINS 32

template <typename T, typename I>
__global__ void pool_forward(const T* packed, const double* levels, const Real<T>* rois, const int* roi_indices,
                             I n_images, I n_tasks, I channels, int outh, int outw, Real<T> lowest, T* y, int* argmax) {
    typedef Real<T> R;
    __shared__ T stage[TOGETHER * (POOL_BINS + 1)];
    __shared__ int places[TOGETHER * (POOL_BINS + 1)];
    const int n_bins = outh * outw, lane = (int)threadIdx.x % LANES;
    for (I index = blockIdx.x; index < n_tasks; index += gridDim.x) {
        const Task<I> task = read_task(index, levels, 1, rois, roi_indices, n_images, channels, n_bins, POOL_BINS, (R)1,
                                       (R)0, (R)0, (R)0);
        const T* from = packed + task.first * channels + task.channel;
        for (int b = (int)threadIdx.x / LANES; b < task.n_bins; b += (int)blockDim.x / LANES) {
            const int i = (task.bin + b) / outw, j = (task.bin + b) % outw;
            Window windows[2];
            roi_windows(rois, task.r, (R)task.scale, i, j, outh, outw, task.height, task.width, 1, 0, windows);
            int place[PAIR], found[PAIR];
            R best[PAIR];
            EACH_CHANNEL(k) place[k] = Pair::place(lane, k, task.n_channels);
            window_max<PAIR, T>(
                windows, task.width, lowest,
                [&](int pixel) { return Pair::fetch(from, (I)pixel * channels, place, channels % 2 == 0); }, best, found);
            EACH_CHANNEL(k) {
                const int at = Pair::channel(lane, k) * (POOL_BINS + 1) + b;
                write(stage + at, task.is_image ? best[k] : sqrt((R)-1));
                if (argmax) places[at] = task.is_image ? found[k] : -1;
            }
        }
        __syncthreads();
        each_staged(task, channels, n_bins, POOL_BINS, [&](int at, I to) {
            y[to] = stage[at];
            if (argmax) argmax[to] = places[at];
        });
        __syncthreads();
    }
}

template <typename T, typename I>
__global__ void adaptive_max_forward(const T* x, I n_planes, int height, int width, int outh, int outw, Real<T> lowest,
                                     T* y, int* argmax) {
    const I n_bins = (I)outh * outw, plane = (I)height * width;
    for (EACH(I, index, n_planes * n_bins)) {
        const long long i = index % n_bins / outw, j = index % outw;
        Window windows[2];
        windows[0].begin = (int)(i * height / outh);
        windows[0].end = (int)(((i + 1) * height + outh - 1) / outh);
        windows[1].begin = (int)(j * width / outw);
        windows[1].end = (int)(((j + 1) * width + outw - 1) / outw);
        const T* from = x + index / n_bins * plane;
        Real<T> best;
        window_max<1, T>(
            windows, width, lowest, [&](int pixel) { return Pack<T, 1>{{from[pixel]}}; }, &best, argmax + index);
        write(y + index, best);
    }
}

// The transpose of a maximum by atomic addition; gx is zero on entry.
template <typename T, typename I>
__global__ void scatter_atomic(const T* gy, const int* argmax, const int* roi_indices, I n_rois, I channels, I n_bins,
                               I plane, Real<T>* gx) {
    for (EACH(I, index, n_rois * channels * n_bins)) {
        const I c = index / n_bins % channels, r = index / n_bins / channels;
        if (argmax[index] >= 0) atomicAdd(gx + ((I)roi_indices[r] * channels + c) * plane + argmax[index], read(gy[index]));
    }
}

// The same without atomics: order sorts the gradients by pixel, so each run of equal pixels is one sum.
template <typename T, typename I>
__global__ void scatter_sorted(const T* gy, const long long* pixels, const long long* order, I n, T* gx) {
    for (EACH(I, index, n)) {
        const long long pixel = pixels[index];
        if (pixel < 0 || (index > 0 && pixels[index - 1] == pixel)) continue;
        Real<T> sum = 0;
        for (I k = index; k < n && pixels[k] == pixel; ++k) sum += read(gy[order[k]]);
        write(gx + pixel, sum);
    }
}

// ps_roi_pool: bin (i, j) of output channel c reads input channel (c * outh + i) * outw + j. "channels" are the output's.
// A block takes SHARE bins and channels of one RoI. Call visit(element of the result, first pixel of its plane, windows,
// area) for each; area is 0 for an empty bin, and -1 for a RoI of no image.
template <typename T, typename I, typename Visit>
__device__ inline void ps_pool_visit(I task, const Real<T>* rois, const int* roi_indices, I n_images, I channels,
                                     int height, int width, int outh, int outw, Real<T> scale, Visit visit) {
    typedef Real<T> R;
    const I n = channels * outh * outw, n_shares = (n + SHARE - 1) / SHARE, r = task / n_shares;
    const I begin = task % n_shares * SHARE, end = n - begin < SHARE ? n : begin + SHARE, image = roi_indices[r];
    const bool is_image = image >= 0 && image < n_images;
    for (I e = begin + (I)threadIdx.x; e < end; e += (I)blockDim.x) {
        Window found[2];
        roi_windows(rois, r, scale, (int)(e / outw % outh), (int)(e % outw), outh, outw, height, width, 0, 1, found);
        const R area = is_empty(found) ? (R)0 : (R)(found[0].end - found[0].begin) * (R)(found[1].end - found[1].begin);
        visit(r * n + e, (image * n + e) * height * width, found, is_image ? area : (R)-1);
    }
}

template <typename T, typename I>
__global__ void ps_pool_forward(const T* x, const Real<T>* rois, const int* roi_indices, I n_images, I n_tasks, I channels,
                                int height, int width, int outh, int outw, Real<T> scale, T* y) {
    typedef Real<T> R;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        ps_pool_visit<T, I>(
            task, rois, roi_indices, n_images, channels, height, width, outh, outw, scale,
            [&](I e, I plane, const Window* windows, R area) {
                R sum = 0;
                if (area > 0)
                    each_fetched(
                        windows, width, [&](int pixel) { return x[plane + pixel]; },
                        [&](int, T value) { sum += read(value); });
                write(y + e, area > 0 ? sum / area : (area == 0 ? (R)0 : sqrt((R)-1)));
            });
    }
}

// The transpose by atomic addition; gx is zero on entry.
template <typename T, typename I>
__global__ void ps_pool_backward(const T* gy, const Real<T>* rois, const int* roi_indices, I n_images, I n_tasks,
                                 I channels, int height, int width, int outh, int outw, Real<T> scale, Real<T>* gx) {
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x)
        ps_pool_visit<T, I>(
            task, rois, roi_indices, n_images, channels, height, width, outh, outw, scale,
            [&](I e, I plane, const Window* windows, Real<T> area) {
                if (area <= 0) return;
                const Real<T> share = read(gy[e]) / area;
                for (int row = windows[0].begin; row < windows[0].end; ++row) {
                    Real<T>* to = gx + plane + (I)row * width + windows[1].begin;
                    for (int k = 0; k < windows[1].end - windows[1].begin; ++k) atomicAdd(to + k, share);
                }
            });
}

// The transpose without atomics: a block gathers what a tile of a plane gets from its bin, RoI after RoI; see align_gather.
template <typename T, typename I>
__global__ void ps_pool_gather(const T* gy, const Real<T>* rois, const int* order, const int* ends, I n_tasks, I channels,
                               int height, int width, int outh, int outw, Real<T> scale, T* gx) {
    typedef Real<T> R;
    const I n = channels * outh * outw;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        const Tile<I> tile = read_tile(task, height, width);
        const I image = tile.plane / n, e = tile.plane % n;
        const int i = (int)(e / outw % outh), j = (int)(e % outw);
        struct Windows {
            Window of[2];
        };
        R sum = 0;
        const auto reaches = [&](I r, Windows* found) {
            Windows windows;
            roi_windows(rois, r, scale, i, j, outh, outw, height, width, 0, 1, windows.of);
            *found = windows;
            return windows.of[0].begin < tile.row + TILE_ROWS && tile.row < windows.of[0].end &&
                   windows.of[1].begin < tile.column + LANES && tile.column < windows.of[1].end;
        };
        each_hit<Windows>(order, ends[image], ends[image + 1], reaches, [&](I r, const Windows& windows) {
            const Window rows = windows.of[0], columns = windows.of[1];
            if (tile.y < rows.begin || tile.y >= rows.end || tile.x < columns.begin || tile.x >= columns.end) return;
            sum += read(gy[r * n + e]) / ((R)(rows.end - rows.begin) * (R)(columns.end - columns.begin));
        });
        if (tile.is_pixel) write(gx + (tile.plane * height + tile.y) * width + tile.x, sum);
    }
}

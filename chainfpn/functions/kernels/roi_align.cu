// roi_align on packed maps (pyramid.cu), each RoI on its level. A warp takes a bin, its threads the channels.

// The axes of a task's RoI, which has no sample if there is no image.
template <typename R, typename I>
__device__ inline void task_axes(const Task<I>& task, const R* rois, int outh, int outw, R offset, int at_least_one,
                                 int sampling_ratio, Axis<R>* axes) {
    const int outsize[2] = {outh, outw};
    read_axes(rois, task.r, (R)task.scale, offset, at_least_one != 0, sampling_ratio, outsize, axes);
    if (!task.is_image) axes[0].count = axes[1].count = 0;
}

// List the taps of a task's RoI if they have room; to be called by all threads of a block.
template <typename R, typename I>
__device__ inline bool list_task_taps(const Task<I>& task, const R* rois, int outh, int outw, R offset, int at_least_one,
                                      int sampling_ratio, Taps<R>* taps) {
    Axis<R> axes[2];
    task_axes(task, rois, outh, outw, offset, at_least_one, sampling_ratio, axes);
    return list_all_taps(axes, outh, outw, task.height, task.width, taps);
}

// Call visit(bin of the block, pixel, weight) for each pixel that a bin of this warp reads, and done(bin) after it; by the
// taps, if they had room.
template <typename T, typename I, typename Visit, typename Done>
__device__ inline void visit_task(const Task<I>& task, const Taps<Real<T>>& taps, bool fit, const Real<T>* rois, int outh,
                                  int outw, Real<T> offset, int at_least_one, int sampling_ratio, Visit visit, Done done) {
    for (int b = (int)threadIdx.x / LANES; b < task.n_bins; b += (int)blockDim.x / LANES) {
        const int i = (task.bin + b) / outw, j = (task.bin + b) % outw;
        const auto visit_pixel = [&](int row, int column, Real<T> weight) {
            visit(b, (I)row * task.width + column, weight);
        };
        if (fit) {
            visit_taps(taps, i, j, outh, outw, visit_pixel);
        } else {  // rare: the axes are read again, rather than kept in registers
            Axis<Real<T>> axes[2];
            task_axes(task, rois, outh, outw, offset, at_least_one, sampling_ratio, axes);
            visit_bin(axes, i, j, task.height, task.width, visit_pixel);
        }
        done(b);
    }
    __syncthreads();
}

// Compute the bins of a task from a patch, some channels after the others.
template <typename T, typename I>
__device__ inline void align_patch(const T* packed, Task<I> task, const Taps<Real<T>>& taps, const Patch patch,
                                   I channels, int outh, int outw, Real<T>* stage, T* y) {
    typedef Real<T> R;
    T* pixels = (T*)(stage + LANES * (BINS + 1));
    const int lane = (int)threadIdx.x % LANES;
    const int origin = patch.row * patch.n_columns + patch.column;
    for (int left = task.n_channels; left > 0; left -= LANES, task.channel += LANES) {
        task.n_channels = left < LANES ? left : LANES;
        const T* from = packed + task.first * channels + task.channel + clip(lane, 0, task.n_channels - 1);
        each_pixel<I>(patch, task.width, [&](int p, I pixel) { pixels[p * LANES + lane] = from[pixel * channels]; });
        __syncthreads();
        for (int b = (int)threadIdx.x / LANES; b < task.n_bins; b += (int)blockDim.x / LANES) {
            R sum = 0;
            visit_taps(taps, (task.bin + b) / outw, (task.bin + b) % outw, outh, outw, [&](int row, int column, R weight) {
                sum += weight * read(pixels[(row * patch.n_columns + column - origin) * LANES + lane]);
            });
            stage[lane * (BINS + 1) + b] = sum;
        }
        __syncthreads();
        each_staged(task, channels, outh * outw, BINS, [&](int at, I to) { write(y + to, stage[at]); });
    }
}

// A launch gives each block room for what is staged and, from the half of that on, for a patch of `room` pixels.
template <typename T, typename I>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void align_forward(const T* packed, const double* levels, int n_levels, const Real<T>* rois,
                              const int* roi_indices, I n_images, I n_tasks, I channels, int outh, int outw,
                              Real<T> offset, int at_least_one, int sampling_ratio, Real<T> canonical_scale,
                              Real<T> canonical_level, Real<T> ratio_eps, Real<T> level_eps, int room, T* y) {
    typedef Real<T> R;
    LAUNCH_SHARED(memory);
    __shared__ Taps<R> taps;
    __shared__ Patch patch;  // not in registers, of which there are too few
    __shared__ bool is_patch;
    R* stage = (R*)memory;
    const int n_bins = outh * outw, lane = (int)threadIdx.x % LANES;
    for (I index = blockIdx.x; index < n_tasks; index += gridDim.x) {
        const Task<I> task = read_task(index, levels, n_levels, rois, roi_indices, n_images, channels, n_bins, BINS,
                                       canonical_scale, canonical_level, ratio_eps, level_eps);
        const bool fit = list_task_taps(task, rois, outh, outw, offset, at_least_one, sampling_ratio, &taps);
        if (threadIdx.x == 0) {
            const int last_row = (task.bin + task.n_bins - 1) / outw;
            is_patch = fit && find_patch(taps, task.bin / outw, last_row + 1, outh, outw, room, &patch);
        }
        __syncthreads();
        if (is_patch) {
            align_patch(packed, task, taps, patch, channels, outh, outw, stage, y);
            continue;
        }
        const T* from = packed + task.first * channels + task.channel;
        int place[TOGETHER / LANES];
        R sum[TOGETHER / LANES];
        EACH_CHANNEL(k) {
            place[k] = Share<T>::place(lane, k, task.n_channels);
            sum[k] = 0;
        }
        visit_task<T, I>(
            task, taps, fit, rois, outh, outw, offset, at_least_one, sampling_ratio,
            [&](int, I pixel, R weight) {
                Share<T>::add(from, pixel * channels, place, channels % 2 == 0, weight, sum);
            },
            [&](int b) {
                EACH_CHANNEL(k) {
                    stage[Share<T>::channel(lane, k) * (BINS + 1) + b] = task.is_image ? sum[k] : sqrt((R)-1);
                    sum[k] = 0;
                }
            });
        each_staged(task, channels, n_bins, BINS, [&](int at, I to) { write(y + to, stage[at]); });
    }
}

// Sum what the bins of a task give to the pixels of a patch, and add that to the map, both in Real, beside which a gradient
// of half16 is read once, so not in pairs: each row of bins is spread over the
// columns first, by a warp, and then each column over the rows.
template <typename T, typename I>
__device__ inline void add_patch(const T* gy, Task<I> task, const Taps<Real<T>>& taps, const Patch patch, I channels,
                                 int outh, int outw, Real<T>* stage, Real<T>* packed) {
    typedef Real<T> R;
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES, n_warps = (int)blockDim.x / LANES;
    const int begin = task.bin / outw, n_bin_rows = (task.bin + task.n_bins - 1) / outw + 1 - begin;
    R* across = stage + LANES * (BINS + 1) + lane;
    R* sums = across + (n_bin_rows * patch.n_columns + warp * patch.n_rows) * LANES;
    for (int left = task.n_channels; left > 0; left -= LANES, task.channel += LANES) {
        task.n_channels = left < LANES ? left : LANES;
        each_staged(task, channels, outh * outw, BINS, [&](int at, I from) { stage[at] = read(gy[from]); });
        __syncthreads();
        for (int i = warp; i < n_bin_rows; i += n_warps) {
            R* to = across + (i * patch.n_columns) * LANES;
            for (int c = 0; c < patch.n_columns; ++c) to[c * LANES] = 0;
            const int ahead = (begin + i) * outw - task.bin;  // of this row of bins
            for (int j = ahead < 0 ? -ahead : 0; j < outw && ahead + j < task.n_bins; ++j) {
                const R g = stage[lane * (BINS + 1) + ahead + j];
                const Tap<R>* of = taps.of[1] + j * tap_room(outw);
                for (int b = 0; b < taps.count[1][j]; ++b) to[(of[b].line - patch.column) * LANES] += of[b].weight * g;
            }
        }
        __syncthreads();
        R* to = packed + (task.first + (I)patch.row * task.width + patch.column) * channels + task.channel + lane;
        for (int c = warp; c < patch.n_columns; c += n_warps) {
            for (int r = 0; r < patch.n_rows; ++r) sums[r * LANES] = 0;
            for (int i = 0; i < n_bin_rows; ++i) {
                const R g = across[(i * patch.n_columns + c) * LANES];
                const Tap<R>* of = taps.of[0] + (begin + i) * tap_room(outh);
                for (int a = 0; a < taps.count[0][begin + i]; ++a) sums[(of[a].line - patch.row) * LANES] += of[a].weight * g;
            }
            if (lane < task.n_channels)
                for (int r = 0; r < patch.n_rows; ++r) atomicAdd(to + ((I)r * task.width + c) * channels, sums[r * LANES]);
        }
        __syncthreads();
    }
}

// The transpose by atomic addition: fast, its order of summation varies. packed is zero on entry. Shared memory as above,
// `room` in sums of a pixel.
template <typename T, typename I>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void align_backward(const T* gy, const double* levels, int n_levels, const Real<T>* rois,
                               const int* roi_indices, I n_images, I n_tasks, I channels, int outh, int outw,
                               Real<T> offset, int at_least_one, int sampling_ratio, Real<T> canonical_scale,
                               Real<T> canonical_level, Real<T> ratio_eps, Real<T> level_eps, int room, Real<T>* packed) {
    typedef Real<T> R;
    LAUNCH_SHARED(memory);
    __shared__ Taps<R> taps;
    __shared__ Patch patch;
    __shared__ bool is_patch;
    R* stage = (R*)memory;
    const int n_bins = outh * outw, lane = (int)threadIdx.x % LANES;
    for (I index = blockIdx.x; index < n_tasks; index += gridDim.x) {
        const Task<I> task = read_task(index, levels, n_levels, rois, roi_indices, n_images, channels, n_bins, BINS,
                                       canonical_scale, canonical_level, ratio_eps, level_eps);
        const bool fit = list_task_taps(task, rois, outh, outw, offset, at_least_one, sampling_ratio, &taps);
        if (threadIdx.x == 0) {
            const int begin = task.bin / outw, end = (task.bin + task.n_bins - 1) / outw + 1;
            is_patch = fit && find_patch(taps, begin, end, outh, outw, LIMIT, &patch) &&
                       (end - begin) * patch.n_columns + (int)blockDim.x / LANES * patch.n_rows <= room;
        }
        __syncthreads();
        if (is_patch) {
            add_patch(gy, task, taps, patch, channels, outh, outw, stage, packed);
            continue;
        }
        R* to = packed + task.first * channels + task.channel + lane;
        each_staged(task, channels, n_bins, BINS, [&](int at, I from) { stage[at] = read(gy[from]); });
        __syncthreads();
        visit_task<T, I>(
            task, taps, fit, rois, outh, outw, offset, at_least_one, sampling_ratio,
            [&](int b, I pixel, R weight) {
                EACH_CHANNEL(k) if (lane + k * LANES < task.n_channels)
                    atomicAdd(to + pixel * channels + k * LANES, weight * stage[(lane + k * LANES) * (BINS + 1) + b]);
            },
            [](int) {});
    }
}

// Sides of a tile of pixels, and bins whose weights are held at once.
#define SIDE 8
#define NEAR_BINS 16

// The axes of a RoI, and which bins of them reach a tile.
template <typename R>
struct Reach {
    Axis<R> axes[2];
    int begin[2], end[2];
};

// Add what a RoI gives to the pixels of this warp's row of a tile: the bins that reach it, NEAR_BINS at a time.
template <typename T, typename I>
__device__ inline void add_roi(const T* gy, const Reach<Real<T>>& reach, const int* tile, const int* extents, int outw,
                               I channels, int n_channels, Real<T> (&sum)[SIDE][TOGETHER / LANES]) {
    typedef Real<T> R;
    const Axis<R>* axes = reach.axes;
    const int *begin = reach.begin, *end = reach.end;
    __shared__ R weights[2][NEAR_BINS][SIDE];
    const int thread = (int)threadIdx.x, lane = thread % LANES, warp = thread / LANES;
    const int axis = thread / (NEAR_BINS * SIDE), b = thread / SIDE % NEAR_BINS, line = thread % SIDE;
    for (int i = begin[0]; i < end[0]; i += NEAR_BINS)
        for (int j = begin[1]; j < end[1]; j += NEAR_BINS) {
            __syncthreads();
            weights[axis][b][line] = 0;
            if (axis == 0 && i + b < end[0])
                weights[0][b][line] = line_weight(axes[0], i + b, tile[0] + line, extents[0]);
            if (axis == 1 && j + b < end[1])
                weights[1][b][line] = line_weight(axes[1], j + b, tile[1] + line, extents[1]);
            __syncthreads();
            for (int v = 0; v < NEAR_BINS && i + v < end[0]; ++v) {
                const R over_rows = weights[0][v][warp];
                if (over_rows == 0) continue;
                for (int w = 0; w < NEAR_BINS && j + w < end[1]; ++w)
                    EACH_CHANNEL(k) {
                        const int c = lane + k * LANES;
                        const R g = c < n_channels ? read(gy[((I)(i + v) * outw + j + w) * channels + c]) : (R)0;
                        for (int q = 0; q < SIDE; ++q)
                            if (weights[1][w][q] != 0) sum[q][k] += over_rows * weights[1][w][q] * g;
                    }
            }
        }
}

// The transpose without atomics: a block gathers what a tile of pixels of a level gets, RoI after RoI; a warp takes a row,
// its threads the channels. Image b has the RoIs order[ends[b]] ... order[ends[b + 1] - 1]; gy is (R', bins, C).
template <typename T, typename I>
__global__ void align_gather(const T* gy, const double* levels, int n_levels, const Real<T>* rois, const int* order,
                             const int* ends, int level, I n_tasks, I channels, int outh, int outw, Real<T> offset,
                             int at_least_one, int sampling_ratio, Real<T> canonical_scale, Real<T> canonical_level,
                             Real<T> ratio_eps, Real<T> level_eps, Real<T>* packed) {
    typedef Real<T> R;
    const Level map = read_level(levels, level);
    const int outsize[2] = {outh, outw}, extents[2] = {map.height, map.width};
    const int across = (map.width + SIDE - 1) / SIDE, down = (map.height + SIDE - 1) / SIDE;
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES;
    const I n_blocks = (channels + TOGETHER - 1) / TOGETHER;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        const int tile[2] = {(int)(task / across % down) * SIDE, (int)(task % across) * SIDE};
        const I block = task / across / down % n_blocks * TOGETHER, image = task / across / down / n_blocks;
        const int n_channels = channels - block < TOGETHER ? (int)(channels - block) : TOGETHER;
        R sum[SIDE][TOGETHER / LANES];
        for (int q = 0; q < SIDE; ++q) EACH_CHANNEL(k) sum[q][k] = 0;
        const auto is_here = [&](I r, Reach<R>* found) {
            if (find_level(rois + r * 4, levels, n_levels, canonical_scale, canonical_level, ratio_eps, level_eps) != level)
                return false;
            Reach<R> reach;
            read_axes(rois, r, (R)map.scale, offset, at_least_one != 0, sampling_ratio, outsize, reach.axes);
            for (int k = 0; k < 2; ++k)
                bin_range(reach.axes[k], tile[k], tile[k] + SIDE - 1, outsize[k], reach.begin + k, reach.end + k);
            *found = reach;
            return reach.axes[0].count > 0 && reach.axes[1].count > 0 && reach.begin[0] < reach.end[0] &&
                   reach.begin[1] < reach.end[1];
        };
        each_hit<Reach<R>>(order, ends[image], ends[image + 1], is_here, [&](I r, const Reach<R>& reach) {
            add_roi(gy + r * outh * outw * channels + block, reach, tile, extents, outw, channels, n_channels, sum);
        });
        const I row = tile[0] + warp;
        R* to = packed + ((I)map.first + (image * map.height + row) * map.width + tile[1]) * channels + block + lane;
        for (int q = 0; q < SIDE; ++q) {
            const bool is_pixel = row < map.height && tile[1] + q < map.width;
            EACH_CHANNEL(k) if (is_pixel && lane + k * LANES < n_channels) to[q * channels + k * LANES] = sum[q][k];
        }
    }
}

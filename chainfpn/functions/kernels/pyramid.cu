// Maps with their channels together: neighbouring threads take neighbouring channels of one pixel, so that each access of a
// warp is one line of memory wherever a RoI lies. The levels of a pyramid are packed one behind the other, each
// (B, H, W, C); its row of the table says {height, width, first pixel, scale}.

// Channels and bins that a block of threads takes, LANES at a time; bins are staged so that neighbouring ones are written
// together.
#define LANES 32
#define TOGETHER 64
#define BINS 64
#define PAIR (TOGETHER / LANES)
#define EACH_CHANNEL(k) for (int k = 0; k < TOGETHER / LANES; ++k)
#define FACTS 4

// Neighbouring channels of a block that a thread takes, which one access reads where a pixel has an even number of
// channels. A thread beyond the last channel reads one again.
struct Pair {
    __device__ static inline int channel(int lane, int k) { return PAIR * lane + k; }
    __device__ static inline int place(int lane, int k, int n_channels) {
        return n_channels % 2 == 0 ? clip(channel(lane, 0), 0, n_channels - 2) + k
                                   : clip(channel(lane, k), 0, n_channels - 1);
    }
    template <typename T, typename I>
    __device__ static inline Pack<T, PAIR> fetch(const T* from, I pixel, const int* place, bool is_even) {
        Pack<T, PAIR> both;
        if (is_even)
            both = *(const Pack<T, PAIR>*)(from + pixel + place[0]);
        else
            EACH_CHANNEL(k) both.of[k] = from[pixel + place[k]];
        return both;
    }
};

// The channels that a thread of align_forward takes: LANES apart, but of half16 a pair.
template <typename T>
struct Share {
    __device__ static inline int channel(int lane, int k) { return lane + k * LANES; }
    __device__ static inline int place(int lane, int k, int n_channels) { return clip(channel(lane, k), 0, n_channels - 1); }
    template <typename I>
    __device__ static inline void add(const T* from, I pixel, const int* place, bool, Real<T> weight, Real<T>* sum) {
        EACH_CHANNEL(k) sum[k] += weight * read(from[pixel + place[k]]);
    }
};
template <>
struct Share<half16> : Pair {
    template <typename I>
    __device__ static inline void add(const half16* from, I pixel, const int* place, bool is_even, float weight, float* sum) {
        const Pack<half16, PAIR> both = fetch(from, pixel, place, is_even);
        EACH_CHANNEL(k) sum[k] += weight * read(both.of[k]);
    }
};

struct Level {
    int height, width;
    long long first;
    double scale;
};

__device__ inline Level read_level(const double* levels, int level) {
    const double* facts = levels + level * FACTS;
    Level found;
    found.height = (int)facts[0];
    found.width = (int)facts[1];
    found.first = (long long)facts[2];
    found.scale = facts[3];
    return found;
}

__device__ inline void write_level(double* levels, int level, int height, int width, long long first, double scale) {
    if (blockIdx.x > 0 || threadIdx.x > 0) return;
    double* facts = levels + level * FACTS;
    facts[0] = height;
    facts[1] = width;
    facts[2] = (double)first;
    facts[3] = scale;
}

// Transpose matrices (rows, columns) through shared memory. half16 is moved one by one: the 64 bytes of a warp are whole
// sectors of memory.
template <typename From, typename To, typename I>
__device__ inline void transpose(const From* from, I n, I rows, I columns, To* to) {
    __shared__ From tile[LANES][LANES + 1];
    const I across = (columns + LANES - 1) / LANES, down = (rows + LANES - 1) / LANES;
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES, n_warps = (int)blockDim.x / LANES;
    for (I task = blockIdx.x; task < n * across * down; task += gridDim.x) {
        const I column = task % across * LANES, row = task / across % down * LANES, start = task / across / down * rows * columns;
        for (int k = warp; k < LANES; k += n_warps)
            if (row + k < rows && column + lane < columns) tile[k][lane] = from[start + (row + k) * columns + column + lane];
        __syncthreads();
        for (int k = warp; k < LANES; k += n_warps)
            if (column + k < columns && row + lane < rows)
                write(to + start + (column + k) * rows + row + lane, read(tile[lane][k]));
        __syncthreads();
    }
}

// Pack one level: x is (B, C, H, W).
template <typename T, typename I>
__global__ void pack_level(const T* x, I n_images, I channels, int height, int width, int level, long long first,
                           double scale, T* packed, double* levels) {
    write_level(levels, level, height, width, first, scale);
    transpose(x, n_images, channels, (I)height * width, packed + first * channels);
}

// Fill one level with zeros.
template <typename T, typename I>
__global__ void clear_level(I n_images, I channels, int height, int width, int level, long long first, double scale,
                            Real<T>* packed, double* levels) {
    write_level(levels, level, height, width, first, scale);
    Real<T>* to = packed + first * channels;
    for (EACH(I, index, n_images * channels * height * width)) to[index] = 0;
}

// Unpack one level.
template <typename T, typename I>
__global__ void unpack_level(const Real<T>* packed, I n_images, I channels, int height, int width, long long first, T* x) {
    transpose(packed + first * channels, n_images, (I)height * width, channels, x);
}

// The level of a RoI: see assign_levels of _multi_scale_roi_align.py.
template <typename R>
__device__ inline int find_level(const R* roi, const double* levels, int n_levels, R canonical_scale, R canonical_level,
                                 R ratio_eps, R level_eps) {
    if (n_levels == 1) return 0;
    const int first = -(int)floor(log2(read_level(levels, 0).scale) + 0.5);
    const int last = -(int)floor(log2(read_level(levels, n_levels - 1).scale) + 0.5);
    const R area = (roi[2] - roi[0]) * (roi[3] - roi[1]);
    const R ratio = sqrt(area > 0 ? area : (R)1) / canonical_scale;
    const R level = floor(canonical_level + log2(ratio + ratio_eps) + level_eps);
    const int found = (int)clip(level, (R)first, (R)last) - first;
    return found < n_levels ? found : n_levels - 1;
}

// What a block takes: n_bins bins of n_channels channels of RoI r, from a map that begins at pixel `first` of the packed
// levels. A RoI of no image has no samples, and its bins are NaN.
template <typename I>
struct Task {
    I r, channel, first;
    int n_channels, bin, n_bins, height, width;
    double scale;
    bool is_image;
};

template <typename R, typename I>
__device__ inline Task<I> read_task(I task, const double* levels, int n_levels, const R* rois, const int* roi_indices,
                                    I n_images, I channels, int n_bins, int together, R canonical_scale,
                                    R canonical_level, R ratio_eps, R level_eps) {
    const I n_groups = (n_bins + together - 1) / together, n_blocks = (channels + TOGETHER - 1) / TOGETHER;
    Task<I> found;
    const int group = (n_bins + (int)n_groups - 1) / (int)n_groups;  // as many bins in each
    found.bin = (int)(task % n_groups) * group;
    found.n_bins = n_bins - found.bin < group ? n_bins - found.bin : group;
    found.channel = task / n_groups % n_blocks * TOGETHER;
    found.n_channels = channels - found.channel < TOGETHER ? (int)(channels - found.channel) : TOGETHER;
    found.r = task / n_groups / n_blocks;
    const Level level = read_level(levels, find_level(rois + found.r * 4, levels, n_levels, canonical_scale,
                                                      canonical_level, ratio_eps, level_eps));
    const int image = roi_indices[found.r];
    found.is_image = image >= 0 && image < n_images;
    found.height = level.height;
    found.width = level.width;
    found.scale = level.scale;
    found.first = (I)level.first + (found.is_image ? (I)image : (I)0) * level.height * level.width;
    return found;
}

// Move staged bins to, or from, (R', C, bins); a row of a channel's bins in the stage is one longer, against bank conflicts.
template <typename I, typename Move>
__device__ inline void each_staged(const Task<I>& task, I channels, int n_bins, int together, Move move) {
    const I start = (task.r * channels + task.channel) * n_bins + task.bin;
    for (int e = (int)threadIdx.x; e < task.n_channels * task.n_bins; e += (int)blockDim.x) {
        const int c = e / task.n_bins, b = e % task.n_bins;
        move(c * (together + 1) + b, start + (I)c * n_bins + b);
    }
}

// Call add(RoI, what was found) for each of the RoIs order[begin] ... order[end - 1] that passes a test, in order. A thread
// tests one and finds in shared memory what all threads then read: axes or windows are computed once for a block.
template <typename Found, typename Test, typename Add>
__device__ inline void each_hit(const int* order, int begin, int end, Test test, Add add) {
    __shared__ Found found[THREADS];
    __shared__ bool hits[THREADS];
    const int thread = (int)threadIdx.x;
    for (int start = begin; start < end; start += THREADS) {
        __syncthreads();
        hits[thread] = start + thread < end && test(order[start + thread], &found[thread]);
        __syncthreads();
        for (int m = 0; m < THREADS; ++m)
            if (hits[m]) add(order[start + m], found[m]);
    }
}

// A tile of one plane: a row for each warp, a column for each of its threads.
#define TILE_ROWS 8

template <typename I>
struct Tile {
    I plane;
    int row, column;  // of the tile
    int y, x;         // of this thread
    bool is_pixel;
};

template <typename I>
__device__ inline Tile<I> read_tile(I task, int height, int width) {
    const int across = (width + LANES - 1) / LANES, down = (height + TILE_ROWS - 1) / TILE_ROWS;
    Tile<I> tile;
    tile.plane = task / across / down;
    tile.row = (int)(task / across % down) * TILE_ROWS;
    tile.column = (int)(task % across) * LANES;
    tile.y = tile.row + (int)threadIdx.x / LANES;
    tile.x = tile.column + (int)threadIdx.x % LANES;
    tile.is_pixel = tile.y < height && tile.x < width;
    return tile;
}

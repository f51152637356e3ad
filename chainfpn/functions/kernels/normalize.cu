// Normalization by fixed statistics, the sum and the ReLU behind it, and its transpose. A warp takes a stretch of a plane.
// These kernels wait for memory: a thread asks for several pixels before it writes one, and for neighbours at once, two or
// four of them, where planes are made of such; of half16 those are pairs and more.

// Pixels of a thread in a stretch.
#define PIXELS 8

// Whether planes of n_pixels that begin at these addresses are made of packs.
template <typename T, int N, typename I>
__device__ inline bool has_packs(I n_pixels, const T* a, const T* b, const T* c, const T* d) {
    const unsigned long long any =
        (unsigned long long)a | (unsigned long long)b | (unsigned long long)c | (unsigned long long)d;
    return n_pixels % N == 0 && any % sizeof(Pack<T, N>) == 0;
}

// Write *to, and *also, at some places, from a and b, where b and `also` may be null: each(pixel of a, of b, the two
// results) computes. Places are n_reads packs, LANES apart.
template <int N, int n_reads, typename T, typename Each>
__device__ inline void through_packs(const T* a, const T* b, T* to, T* also, Each each) {
    Pack<T, N> of_a[n_reads], of_b[n_reads];
#pragma unroll
    for (int k = 0; k < n_reads; ++k) {
        of_a[k] = *(const Pack<T, N>*)(a + k * LANES * N);
        of_b[k] = *(const Pack<T, N>*)(b + k * LANES * N);
    }
#pragma unroll
    for (int k = 0; k < n_reads; ++k) {
        Pack<T, N> first, second;
#pragma unroll
        for (int q = 0; q < N; ++q) each(of_a[k].of[q], of_b[k].of[q], &first.of[q], &second.of[q]);
        *(Pack<T, N>*)(to + k * LANES * N) = first;
        if (also) *(Pack<T, N>*)(also + k * LANES * N) = second;
    }
}

// A thread's share of n pixels.
template <int N, typename T, typename I, typename Each>
__device__ inline void through_share(const T* a, const T* b, I n, T* to, T* also, Each each) {
    const int n_reads = N == 4 ? 2 : 4;
    I at = (I)threadIdx.x % LANES * N;
    const T* second = b ? b : a;
#pragma unroll 1
    for (; at + (n_reads - 1) * LANES * N < n; at += n_reads * LANES * N)
        through_packs<N, n_reads>(a + at, second + at, to + at, also ? also + at : also, each);
#pragma unroll 1
    for (; at < n; at += LANES * N) through_packs<N, 1>(a + at, second + at, to + at, also ? also + at : also, each);
}

// The same with the widest packs that planes of n_pixels are made of.
template <typename T, typename I, typename Each>
__device__ inline void through_pixels(I n_pixels, const T* a, const T* b, I n, T* to, T* also, Each each) {
    if (has_packs<T, 4>(n_pixels, a, b, to, also))
        through_share<4>(a, b, n, to, also, each);
    else if (has_packs<T, 2>(n_pixels, a, b, to, also))
        through_share<2>(a, b, n, to, also, each);
    else
        through_share<1>(a, b, n, to, also, each);
}

// The stretch of a plane that a warp takes.
template <typename I>
struct Stretch {
    I plane, start, n;  // start: its first pixel of all
    bool is_first;      // of the plane
};

template <typename I>
__device__ inline Stretch<I> read_stretch(I task, I n_pixels) {
    const I size = LANES * PIXELS, n_stretches = (n_pixels + size - 1) / size, first = task % n_stretches * size;
    Stretch<I> found;
    found.plane = task / n_stretches;
    found.start = found.plane * n_pixels + first;
    found.n = n_pixels - first < size ? n_pixels - first : size;
    found.is_first = first == 0;
    return found;
}

// y = relu((x - centre) * factor + shift + residual), with U the dtype of what is (C,). See Statistics of
// _fixed_normalization.py. What is not wanted is null: gamma stands for all statistics but beta. The statistics are read
// here, 16 bytes for 2048 or 3072 of a stretch, so that nothing has to be kept or made beforehand.
template <typename T, typename I, typename U = T>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void normalize(const T* x, const T* residual, const U* gamma, const U* beta, const U* mean, const U* var,
                          double eps, int centered, int n_together, int relu, I n_tasks, I channels, I n_pixels, T* y,
                          U* scale) {
    typedef Real<T> R;
    for (EACH(I, thread, n_tasks * LANES)) {
        const Stretch<I> stretch = read_stretch(thread / LANES, n_pixels);
        const I c = stretch.plane % channels, group = n_together ? stretch.plane / n_together : c;
        R centre = 0, factor = 1, shift = beta ? (R)read(beta[c]) : -(R)0;
        if (gamma) {
            const R average = (R)read(mean[group]);
            factor = (R)read(gamma[c]) / sqrt((R)read(var[group]) + (R)eps);
            if (centered)
                centre = average;
            else
                shift = shift - average * factor;
            if (scale && stretch.is_first && threadIdx.x % LANES == 0) write(scale + c, (Real<U>)factor);  // of each image
        }
        through_pixels(n_pixels, x + stretch.start, residual ? residual + stretch.start : residual, stretch.n,
                       y + stretch.start, (T*)0, [&](T pixel, T added, T* result, T*) {
                           R value = ((R)read(pixel) - centre) * factor + shift;
                           if (residual) value += read(added);
                           write(result, relu && value < 0 ? (R)0 : value);
                       });
    }
}

// The gradient of a residual, what the ReLU of y lets through, and that of x, which is `scale` times as much. y, scale and
// gresidual may be null.
template <typename T, typename I, typename U = T>
__launch_bounds__(THREADS, OCCUPANCY(T)) __global__ void normalize_backward(const T* gy, const T* y, const U* scale, I n_tasks, I channels, I n_pixels, T* gx,
                                   T* gresidual) {
    typedef Real<T> R;
    for (EACH(I, thread, n_tasks * LANES)) {
        const Stretch<I> stretch = read_stretch(thread / LANES, n_pixels);
        const R factor = scale ? (R)read(scale[stretch.plane % channels]) : (R)1;
        through_pixels(n_pixels, gy + stretch.start, y ? y + stretch.start : y, stretch.n, gx + stretch.start,
                       gresidual ? gresidual + stretch.start : gresidual, [&](T gradient, T result, T* of_x, T* of_residual) {
                           const R through = y && !(read(result) > 0) ? (R)0 : (R)read(gradient);
                           write(of_residual, through);
                           write(of_x, through * factor);
                       });
    }
}

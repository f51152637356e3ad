// What all kernels share. The files of this folder are compiled as one text, this one first: by NVRTC for the device, and
// by any C++ compiler behind a shim in the tests. No header is needed.
//
// T is the dtype of the maps, Real<T> the one sums and coordinates are computed in, I an index type that counts them all.
// Compiled without fused multiply-add, so that a coordinate falls on the same side of a border as on the CPU.

struct half16 {
    unsigned short bits;
};

template <typename T>
struct RealOf {
    typedef T type;
};
template <>
struct RealOf<half16> {
    typedef float type;
};
template <typename T>
using Real = typename RealOf<T>::type;

__device__ inline float read(float v) { return v; }
__device__ inline double read(double v) { return v; }
__device__ inline void write(float* to, float v) { *to = v; }
__device__ inline void write(double* to, double v) { *to = v; }

#ifdef __CUDA_ARCH__
__device__ inline float read(half16 v) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(v.bits));
    return result;
}
__device__ inline void write(half16* to, float v) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to->bits) : "f"(v)); }
#define LAUNCH_SHARED(name) extern __shared__ double name[]
#else
__device__ inline float read(half16 v) { return half_to_float(v.bits); }
__device__ inline void write(half16* to, float v) { to->bits = float_to_half(v); }
#define LAUNCH_SHARED(name) __shared__ double name[SHARED_BYTES / 8]
#endif

// Neighbours that one access moves.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
    T of[N];
};

// Shared memory of a block at most, which no device has to be asked for.
#define SHARED_BYTES 49152

// Threads of a block, where no kernel says otherwise.
#define THREADS 256

// Blocks that shall find room on a multiprocessor at once, where registers decide on that.
#define OCCUPANCY(T) (sizeof(T) > 4 ? 2 : 4)

// One thread takes the elements i, i + number of threads, ...
#define EACH(I, i, n)                                                                             \
    I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x, stride_ = (I)gridDim.x * (I)blockDim.x; \
    i < (n);                                                                                      \
    i += stride_

// Feature pixels from the origin beyond which coordinates are clipped.
#define LIMIT 1048576

template <typename R>
__device__ inline R clip(R v, R low, R high) {
    return v < low ? low : (v > high ? high : v);
}

// The corners of a RoI (y0, x0, y1, x1) in feature pixels; false if one is NaN.
template <typename R, typename I>
__device__ inline bool feature_corners(const R* rois, I r, R scale, R offset, R* corners) {
    bool is_number = true;
    for (int k = 0; k < 4; ++k) {
        const R v = rois[r * 4 + k];
        is_number = is_number && v == v;
        corners[k] = clip(v * scale - offset, (R)-LIMIT, (R)LIMIT);
    }
    return is_number;
}

// Non-maximum suppression of boxes (y0, x0, y1, x1): nms_masks compares all pairs, and one block of nms_scan walks through
// the boxes, best first. A row is a rank: `rising` lists the boxes worst first, null says that they come best first. Both
// kernels take the rows [first, last), so that the masks of many boxes need not fit into memory at once.

// Boxes of a word of a mask, and threads of nms_scan that share a word of those dropped.
#define WORD 64
#define SHARES 8
// Words that the shared memory of a block has room for.
#define MOST_WORDS 2048

typedef unsigned long long word;

// The box of a rank.
template <typename I>
__device__ inline I box_of(const long long* rising, I n, I row) {
    return rising ? n - 1 - (I)rising[n - 1 - row] : row;
}

template <typename R>
__device__ inline bool overlaps(const R* a, const R* b, R thresh) {
    R height = (a[2] < b[2] ? a[2] : b[2]) - (a[0] > b[0] ? a[0] : b[0]);
    R width = (a[3] < b[3] ? a[3] : b[3]) - (a[1] > b[1] ? a[1] : b[1]);
    height = height > 0 ? height : (R)0;
    width = width > 0 ? width : (R)0;
    const R shared = width * height;
    if (shared == 0 && thresh >= 0) return false;
    const R area_a = (a[3] - a[1]) * (a[2] - a[0]), area_b = (b[3] - b[1]) * (b[2] - b[0]);
    return shared / (area_a + area_b - shared) > thresh;
}

// Which later boxes of its label each box overlaps: bit k % WORD of word k / WORD, from its own word on. labels may be null.
template <typename T, typename I>
__global__ void nms_masks(const T* boxes, const long long* rising, const long long* labels, I n, I first, I last, T thresh,
                          word* masks) {
    __shared__ T columns[WORD][4];
    __shared__ long long column_labels[WORD];
    const I n_words = (n + WORD - 1) / WORD, here = n_words - first / WORD;
    const I n_tasks = (last - first + (I)blockDim.x - 1) / (I)blockDim.x * here;
    const int thread = (int)threadIdx.x;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        const I column = (first / WORD + task % here) * WORD, begin = first + task / here * (I)blockDim.x;
        if (column + WORD <= begin) continue;
        const int size = n - column < WORD ? (int)(n - column) : WORD;
        __syncthreads();
        for (int k = thread; k < size * 4; k += (int)blockDim.x)
            columns[k / 4][k % 4] = boxes[box_of(rising, n, column + k / 4) * 4 + k % 4];
        if (labels && thread < size) column_labels[thread] = labels[box_of(rising, n, column + thread)];
        __syncthreads();
        const I row = begin + thread;
        if (row >= last || column + WORD <= row) continue;
        const I box = box_of(rising, n, row);
        T own[4];
        for (int k = 0; k < 4; ++k) own[k] = boxes[box * 4 + k];
        const long long label = labels ? labels[box] : 0;
        word mask = 0;
        for (int k = row >= column ? (int)(row - column) + 1 : 0; k < size; ++k)
            if ((!labels || column_labels[k] == label) && overlaps(own, columns[k], thresh)) mask |= (word)1 << k;
        masks[(row - first) * n_words + column / WORD] = mask;
    }
}

// Keep the boxes of a word, best first, that no box kept earlier overlaps; the first `limit` of them.
__device__ inline word settle(word alive, const word* diagonal, long long limit) {
    word kept = 0;
    while (alive) {
        const int k = __ffsll((long long)alive) - 1;
        kept |= (word)1 << k;
        alive &= ~(diagonal[k] | (word)1 << k);
    }
    while (__popcll(kept) > limit) {
        word last = kept;
        while (last & (last - 1)) last &= last - 1;
        kept ^= last;
    }
    return kept;
}

// Settle the rows [first, last), list the boxes kept behind those that are, and mark in `dropped` the later boxes that they
// overlap; behind its words stands the number kept.
template <typename T, typename I>
__global__ void nms_scan(const word* masks, const long long* rising, I n, I first, I last, long long limit, word* dropped,
                         long long* keep) {
    __shared__ word near[MOST_WORDS], diagonal[WORD], kept;
    const I thread = (I)threadIdx.x, n_words = (n + WORD - 1) / WORD;
    word* const dead = n_words <= MOST_WORDS ? near : dropped;
    if (dead == near)
        for (I w = thread; w < n_words; w += (I)blockDim.x) near[w] = dropped[w];
    long long n_kept = (long long)dropped[n_words];
    word next = thread < WORD && first + thread < last ? masks[thread * n_words + first / WORD] : 0;
    for (I start = first; start < last && n_kept < limit; start += WORD) {
        const I own = start / WORD, later = n_words - own - 1;
        if (thread < WORD) diagonal[thread] = next;
        __syncthreads();
        if (thread == 0) {
            const word inside = n - start < WORD ? ((word)1 << (n - start)) - 1 : ~(word)0;
            kept = settle(inside & ~*(volatile word*)(dead + own), diagonal, limit - n_kept);
        }
        __syncthreads();
        const word here = kept;
        if (thread < WORD && (here >> thread & 1))
            keep[n_kept + __popcll(here & (((word)1 << thread) - 1))] = box_of(rising, n, start + thread);
        n_kept += __popcll(here);
        const I row = start + WORD + thread;
        next = thread < WORD && row < last ? masks[(row - first) * n_words + own + 1] : 0;
        const word* from = masks + (start - first) * n_words + own + 1;
        for (I item = thread; item < later * SHARES; item += (I)blockDim.x) {
            const int share = (int)(item / later) * (WORD / SHARES);
            const I w = item % later;
            word any = 0;
            for (int k = share; k < share + WORD / SHARES; ++k)
                if (here >> k & 1) any |= from[k * n_words + w];
            if (any) atomicOr(dead + own + 1 + w, any);
        }
    }
    __syncthreads();
    if (dead == near)
        for (I w = thread; w < n_words; w += (I)blockDim.x) dropped[w] = near[w];
    if (thread == 0) dropped[n_words] = (word)n_kept;
}

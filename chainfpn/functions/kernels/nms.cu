// Non-maximum suppression of boxes (y0, x0, y1, x1) sorted best first within each label: nms_masks compares all pairs, and
// one block of nms_scan walks through the boxes. Both take the rows [first, last), so that the masks of many boxes need
// not fit into memory at once; nothing returns to the host.

// Boxes of a word of a mask, and threads of nms_scan that share a word of those dropped.
#define WORD 64
#define SHARES 8
// Words that the shared memory of a block has room for.
#define MOST_WORDS 2048

typedef unsigned long long word;

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

// Which later boxes each box overlaps: bit k % WORD of word k / WORD, from its own word on. labels may be null.
template <typename T, typename I>
__global__ void nms_masks(const T* boxes, const long long* labels, I n, I first, I last, T thresh, word* masks) {
    __shared__ T columns[WORD * 4];
    __shared__ long long column_labels[WORD];
    const I n_words = (n + WORD - 1) / WORD, here = n_words - first / WORD;
    const I n_tasks = (last - first + (I)blockDim.x - 1) / (I)blockDim.x * here;
    for (I task = blockIdx.x; task < n_tasks; task += gridDim.x) {
        const I column = (first / WORD + task % here) * WORD, begin = first + task / here * (I)blockDim.x;
        if (column + WORD <= begin) continue;
        const int size = n - column < WORD ? (int)(n - column) : WORD;
        __syncthreads();
        for (int k = (int)threadIdx.x; k < size * 4; k += (int)blockDim.x) columns[k] = boxes[column * 4 + k];
        if (labels && (int)threadIdx.x < size) column_labels[threadIdx.x] = labels[column + (I)threadIdx.x];
        __syncthreads();
        const I row = begin + (I)threadIdx.x;
        if (row >= last || column + WORD <= row) continue;
        T own[4];
        for (int k = 0; k < 4; ++k) own[k] = boxes[row * 4 + k];
        const long long label = labels ? labels[row] : 0;
        word mask = 0;
        for (int k = row >= column ? (int)(row - column) + 1 : 0; k < size; ++k)
            if ((!labels || column_labels[k] == label) && overlaps(own, columns + k * 4, thresh)) mask |= (word)1 << k;
        masks[(row - first) * n_words + column / WORD] = mask;
    }
}

// Keep the boxes of a word, best first, that no box kept earlier overlaps, until there are `limit`.
__device__ inline word settle(word alive, const word* diagonal, long long limit, long long* n_kept) {
    word kept = 0;
    while (alive && *n_kept < limit) {
        const int k = __ffsll((long long)alive) - 1;
        kept |= (word)1 << k;
        alive &= ~(diagonal[k] | (word)1 << k);
        ++*n_kept;
    }
    return kept;
}

// Settle the rows [first, last) and mark in `dropped` the later boxes that they overlap; behind its words, the number kept.
// keep is false on entry.
template <typename T, typename I>
__global__ void nms_scan(const word* masks, I n, I first, I last, long long limit, word* dropped, bool* keep) {
    __shared__ word near[MOST_WORDS], diagonal[WORD], kept;
    __shared__ long long n_kept;
    const I thread = (I)threadIdx.x, n_words = (n + WORD - 1) / WORD;
    word* const dead = n_words <= MOST_WORDS ? near : dropped;
    if (dead == near)
        for (I w = thread; w < n_words; w += (I)blockDim.x) near[w] = dropped[w];
    if (thread == 0) n_kept = (long long)dropped[n_words];
    word next = thread < WORD && first + thread < last ? masks[thread * n_words + first / WORD] : 0;
    for (I start = first; start < last; start += WORD) {
        const I own = start / WORD, later = n_words - own - 1;
        if (thread < WORD) diagonal[thread] = next;
        __syncthreads();
        if (thread == 0) {
            const word inside = n - start < WORD ? ((word)1 << (n - start)) - 1 : ~(word)0;
            kept = settle(inside & ~*(volatile word*)(dead + own), diagonal, limit, &n_kept);
        }
        __syncthreads();
        if (thread < WORD && (kept >> thread & 1)) keep[start + thread] = true;
        if (n_kept >= limit) break;
        const I row = start + WORD + thread;
        next = thread < WORD && row < last ? masks[(row - first) * n_words + own + 1] : 0;
        const word* from = masks + (start - first) * n_words + own + 1;
        for (I item = thread; item < later * SHARES; item += (I)blockDim.x) {
            const int share = (int)(item / later) * (WORD / SHARES);
            const I w = item % later;
            word any = 0;
            for (int k = share; k < share + WORD / SHARES; ++k)
                if (kept >> k & 1) any |= from[k * n_words + w];
            if (any) atomicOr(dead + own + 1 + w, any);
        }
    }
    __syncthreads();
    if (dead == near)
        for (I w = thread; w < n_words; w += (I)blockDim.x) dropped[w] = near[w];
    if (thread == 0) dropped[n_words] = (word)n_kept;
}

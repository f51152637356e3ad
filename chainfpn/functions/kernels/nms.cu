// Non-maximum suppression of boxes (y0, x0, y1, x1) sorted best first within each label, in tiles of TILE boxes. No tile
// needs memory of its own, and nothing returns to the host: one launch of nms_tile per tile, in order.

#define TILE 256
#define WORDS (TILE / 64)

template <typename R>
__device__ inline bool overlaps(const R* a, const R* b, R thresh) {
    const R area_a = (a[3] - a[1]) * (a[2] - a[0]), area_b = (b[3] - b[1]) * (b[2] - b[0]);
    R height = (a[2] < b[2] ? a[2] : b[2]) - (a[0] > b[0] ? a[0] : b[0]);
    R width = (a[3] < b[3] ? a[3] : b[3]) - (a[1] > b[1] ? a[1] : b[1]);
    height = height > 0 ? height : (R)0;
    width = width > 0 ? width : (R)0;
    const R shared = width * height;
    return shared / (area_a + area_b - shared) > thresh;
}

// Which earlier boxes of its tile overlap each box: bit k of word k / 64.
template <typename T, typename I>
__global__ void nms_within_tiles(const T* boxes, const long long* labels, I n, T thresh, unsigned long long* masks) {
    for (EACH(I, index, n)) {
        const I first = index / TILE * TILE;
        unsigned long long mask[WORDS];
        for (int w = 0; w < WORDS; ++w) mask[w] = 0;
        for (I k = first; k < index; ++k)
            if (labels[k] == labels[index] && overlaps(boxes + k * 4, boxes + index * 4, thresh))
                mask[(k - first) / 64] |= 1ULL << ((k - first) % 64);
        for (int w = 0; w < WORDS; ++w) masks[index * WORDS + w] = mask[w];
    }
}

// Settle the boxes [first, first + TILE), and drop the later ones that a box kept here overlaps. Every thread settles the
// tile for itself, from what earlier launches left alive there, so that none has to wait for another.
template <typename T, typename I>
__global__ void nms_tile(const T* boxes, const long long* labels, const unsigned long long* masks, I first, I n, T thresh,
                         bool* alive, bool* keep) {
    const I size = n - first < TILE ? n - first : TILE;
    unsigned long long kept[WORDS];
    for (int w = 0; w < WORDS; ++w) kept[w] = 0;
    for (int k = 0; k < size; ++k) {
        unsigned long long hit = 0;
        for (int w = 0; w < WORDS; ++w) hit |= kept[w] & masks[(first + k) * WORDS + w];
        if (hit == 0 && alive[first + k]) kept[k / 64] |= 1ULL << (k % 64);
    }
    for (EACH(I, offset, n - first)) {
        const I index = first + offset;
        if (offset < size) {
            keep[index] = kept[offset / 64] >> (offset % 64) & 1;
        } else if (alive[index]) {
            for (int k = 0; k < size; ++k)
                if ((kept[k / 64] >> (k % 64) & 1) && labels[first + k] == labels[index] &&
                    overlaps(boxes + (first + k) * 4, boxes + index * 4, thresh)) {
                    alive[index] = false;
                    break;
                }
        }
    }
}

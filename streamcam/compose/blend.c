/* Blends the colors of levels into the planes of a 4:2:0 image in one pass; `overlay.py` defines the computation.
 *
 * The library is loaded with ctypes (`native.py`) and uses no part of Python, so that it builds without Python's headers
 * and serves every version of it. */

#ifndef WORD

#include <stddef.h>
#include <stdint.h>

/* Incremented with every change of the functions' arguments. */
const int streamcam_blend_version = 1;

/* Blocks per run: their coefficients stay in the CPU's L1 cache. */
#define RUN 512

/* Compiled for several CPU generations; the loader chooses one. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
#define EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_CPU
#endif

#define WORD uint8_t
#define WIDE uint16_t
#define OF_WORD(name) name##_8
#include "blend.c"
#undef WORD
#undef WIDE
#undef OF_WORD

#define WORD uint16_t
#define WIDE uint32_t
#define OF_WORD(name) name##_16
#include "blend.c"

#else

typedef struct {
    WIDE keep, luma, blue, red;
} OF_WORD(coefficients);

EACH_CPU static void OF_WORD(look_up)(
    const int16_t *restrict levels, const OF_WORD(coefficients) *restrict table, int lowest, int last, ptrdiff_t count,
    OF_WORD(coefficients) *restrict found)
{
    for (ptrdiff_t n = 0; n < count; n++) {
        int place = levels[n] - lowest;
        place = place < 0 ? 0 : place;
        found[n] = table[place > last ? last : place];
    }
}

EACH_CPU static void OF_WORD(split)(
    const OF_WORD(coefficients) *restrict found, ptrdiff_t count, WIDE *restrict keep, WIDE *restrict luma,
    WIDE *restrict blue, WIDE *restrict red)
{
    for (ptrdiff_t n = 0; n < count; n++) {
        keep[n] = found[n].keep;
        luma[n] = found[n].luma;
        blue[n] = found[n].blue;
        red[n] = found[n].red;
    }
}

EACH_CPU static void OF_WORD(duplicate)(const WIDE *restrict values, ptrdiff_t count, WIDE *restrict pairs)
{
    for (ptrdiff_t n = 0; n < count; n++)
        pairs[2 * n] = pairs[2 * n + 1] = values[n];
}

EACH_CPU static void OF_WORD(blend)(
    WORD *restrict samples, const WIDE *restrict keep, const WIDE *restrict add, ptrdiff_t count)
{
    for (ptrdiff_t n = 0; n < count; n++)
        samples[n] = (WORD)((WIDE)(samples[n] * keep[n] + add[n]) >> (8 * sizeof(WORD)));
}

/* Strides are in samples; the pointers are to the rectangle's upper left corner; the levels are contiguous. */
void OF_WORD(streamcam_blend)(
    WORD *luma, ptrdiff_t luma_stride, WORD *blue, ptrdiff_t blue_stride, WORD *red, ptrdiff_t red_stride,
    const int16_t *levels, ptrdiff_t height, ptrdiff_t width, const void *table, int lowest, int last)
{
    OF_WORD(coefficients) found[RUN];
    WIDE keep[RUN], luma_add[RUN], blue_add[RUN], red_add[RUN], keep_pairs[2 * RUN], add_pairs[2 * RUN];

    for (ptrdiff_t row = 0; row < height; row++) {
        for (ptrdiff_t left = 0; left < width; left += RUN) {
            ptrdiff_t count = width - left < RUN ? width - left : RUN;
            OF_WORD(look_up)(levels + row * width + left, table, lowest, last, count, found);
            OF_WORD(split)(found, count, keep, luma_add, blue_add, red_add);
            OF_WORD(duplicate)(keep, count, keep_pairs);
            OF_WORD(duplicate)(luma_add, count, add_pairs);
            OF_WORD(blend)(luma + 2 * row * luma_stride + 2 * left, keep_pairs, add_pairs, 2 * count);
            OF_WORD(blend)(luma + (2 * row + 1) * luma_stride + 2 * left, keep_pairs, add_pairs, 2 * count);
            OF_WORD(blend)(blue + row * blue_stride + left, keep, blue_add, count);
            OF_WORD(blend)(red + row * red_stride + left, keep, red_add, count);
        }
    }
}

#endif

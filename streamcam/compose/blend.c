/* Lays the colours of levels over the planes of a 4:2:0 picture in one pass; `overlay.py` says what it computes.
 *
 * No part of Python is used: the library is loaded with ctypes (`native.py`), so that neither Python's headers nor one
 * version of it are needed to build or to use it. */

#ifndef WORD

#include <stddef.h>
#include <stdint.h>

/* Counted up with every change of what the functions take. */
const int streamcam_blend_version = 1;

/* Blocks that are looked up at once: what is known of them stays in the processor's first cache. */
#define RUN 512

/* Compiled several times, for what the processor can do; the loader chooses. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_PROCESSOR
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
} OF_WORD(look);

EACH_PROCESSOR static void OF_WORD(find)(
    const int16_t *restrict levels, const OF_WORD(look) *restrict looks, int lowest, int last, ptrdiff_t count,
    OF_WORD(look) *restrict found)
{
    for (ptrdiff_t n = 0; n < count; n++) {
        int place = levels[n] - lowest;
        place = place < 0 ? 0 : place;
        found[n] = looks[place > last ? last : place];
    }
}

EACH_PROCESSOR static void OF_WORD(part)(
    const OF_WORD(look) *restrict found, ptrdiff_t count, WIDE *restrict keep, WIDE *restrict luma,
    WIDE *restrict blue, WIDE *restrict red)
{
    for (ptrdiff_t n = 0; n < count; n++) {
        keep[n] = found[n].keep;
        luma[n] = found[n].luma;
        blue[n] = found[n].blue;
        red[n] = found[n].red;
    }
}

EACH_PROCESSOR static void OF_WORD(twice)(const WIDE *restrict values, ptrdiff_t count, WIDE *restrict pairs)
{
    for (ptrdiff_t n = 0; n < count; n++)
        pairs[2 * n] = pairs[2 * n + 1] = values[n];
}

EACH_PROCESSOR static void OF_WORD(blend)(
    WORD *restrict samples, const WIDE *restrict keep, const WIDE *restrict add, ptrdiff_t count)
{
    for (ptrdiff_t n = 0; n < count; n++)
        samples[n] = (WORD)((WIDE)(samples[n] * keep[n] + add[n]) >> (8 * sizeof(WORD)));
}

/* Strides are in samples; the pointers are those of the rectangle's upper left corner, the levels without gaps. */
void OF_WORD(streamcam_blend)(
    WORD *luma, ptrdiff_t luma_stride, WORD *blue, ptrdiff_t blue_stride, WORD *red, ptrdiff_t red_stride,
    const int16_t *levels, ptrdiff_t height, ptrdiff_t width, const void *looks, int lowest, int last)
{
    OF_WORD(look) found[RUN];
    WIDE keep[RUN], luma_add[RUN], blue_add[RUN], red_add[RUN], keep_pairs[2 * RUN], add_pairs[2 * RUN];

    for (ptrdiff_t row = 0; row < height; row++) {
        for (ptrdiff_t left = 0; left < width; left += RUN) {
            ptrdiff_t count = width - left < RUN ? width - left : RUN;
            OF_WORD(find)(levels + row * width + left, looks, lowest, last, count, found);
            OF_WORD(part)(found, count, keep, luma_add, blue_add, red_add);
            OF_WORD(twice)(keep, count, keep_pairs);
            OF_WORD(twice)(luma_add, count, add_pairs);
            OF_WORD(blend)(luma + 2 * row * luma_stride + 2 * left, keep_pairs, add_pairs, 2 * count);
            OF_WORD(blend)(luma + (2 * row + 1) * luma_stride + 2 * left, keep_pairs, add_pairs, 2 * count);
            OF_WORD(blend)(blue + row * blue_stride + left, keep, blue_add, count);
            OF_WORD(blend)(red + row * red_stride + left, keep, red_add, count);
        }
    }
}

#endif

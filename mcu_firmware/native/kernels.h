// Runs of float32: the loops in which a device spends its time.
//
// Every sum adds in the order of tegu.model and rounds after each operation, so the bits are those of the Python: no fused
// multiply-add (-ffp-contract=off; VMLA rounds in between), no reordering. For the Cortex-M4F eight elements at a time by
// VLDM and VSTM, which the compiler does not use by itself: 1.5 instructions an element forward, 2.9 backward, instead of
// 4 and 7.

#ifndef TEGU_KERNELS_H
#define TEGU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// For the loops in which time is spent; everything else is made small.
#if defined(__GNUC__) && !defined(__clang__)
#define QUICK __attribute__((optimize("O2")))
#else
#define QUICK
#endif

#define NOINLINE __attribute__((noinline))

#if defined(__thumb2__) && defined(__ARM_FP) && (__ARM_FP & 4)
#define TEGU_VFP 1
#else
#define TEGU_VFP 0
#endif


// total + w[0] x[0] + w[1] x[1] + ...
static inline __attribute__((always_inline)) float dot(float total, const float *w, const float *x, size_t n) {
#if TEGU_VFP
    size_t eights = n >> 3;
    n &= 7;
    if (eights) {
        __asm__ volatile (
            "1: vldmia %[w]!, {s16-s23}\n"
            "vldmia %[x]!, {s24-s31}\n"
            "subs %[c], #1\n"
            "vmla.f32 %[t], s16, s24\n"
            "vmla.f32 %[t], s17, s25\n"
            "vmla.f32 %[t], s18, s26\n"
            "vmla.f32 %[t], s19, s27\n"
            "vmla.f32 %[t], s20, s28\n"
            "vmla.f32 %[t], s21, s29\n"
            "vmla.f32 %[t], s22, s30\n"
            "vmla.f32 %[t], s23, s31\n"
            "bne 1b\n"
            : [t] "+t" (total), [w] "+r" (w), [x] "+r" (x), [c] "+r" (eights)
            :
            : "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",
            "s31", "cc", "memory");
    }
#endif
    while (n--) {
        total += *w++ * *x++;
    }
    return total;
}

// Fused: before += w d, with the old w, and w -= move x
static inline __attribute__((always_inline)) void carry_and_move_row(float *w, float *before, float d, float move, const float *x, size_t n) {
#if TEGU_VFP
    size_t eights = n >> 3;
    n &= 7;
    if (eights) {
        register float delta __asm__ ("s0") = d;
        register float by __asm__ ("s1") = move;
        __asm__ volatile (
            "1: vldmia %[w], {s8-s15}\n"
            "vldmia %[b], {s16-s23}\n"
            "vldmia %[x]!, {s24-s31}\n"
            "subs %[c], #1\n"
            "vmla.f32 s16, s8, s0\n"
            "vmla.f32 s17, s9, s0\n"
            "vmla.f32 s18, s10, s0\n"
            "vmla.f32 s19, s11, s0\n"
            "vmla.f32 s20, s12, s0\n"
            "vmla.f32 s21, s13, s0\n"
            "vmla.f32 s22, s14, s0\n"
            "vmla.f32 s23, s15, s0\n"
            "vmls.f32 s8, s1, s24\n"
            "vmls.f32 s9, s1, s25\n"
            "vmls.f32 s10, s1, s26\n"
            "vmls.f32 s11, s1, s27\n"
            "vmls.f32 s12, s1, s28\n"
            "vmls.f32 s13, s1, s29\n"
            "vmls.f32 s14, s1, s30\n"
            "vmls.f32 s15, s1, s31\n"
            "vstmia %[b]!, {s16-s23}\n"
            "vstmia %[w]!, {s8-s15}\n"
            "bne 1b\n"
            : [w] "+r" (w), [b] "+r" (before), [x] "+r" (x), [c] "+r" (eights)
            : "t" (delta), "t" (by)
            : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22",
            "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31", "cc", "memory");
    }
#endif
    for (size_t i = 0; i < n; i++) {
        float old = w[i];
        before[i] += old * d;
        w[i] = old - move * x[i];
    }
}

// to += d x; by -move for d it is a step down, with the same bits
static inline __attribute__((always_inline)) void add_row(float *to, float d, const float *x, size_t n) {
#if TEGU_VFP
    size_t eights = n >> 3;
    n &= 7;
    if (eights) {
        __asm__ volatile (
            "1: vldmia %[w], {s16-s23}\n"
            "vldmia %[x]!, {s24-s31}\n"
            "subs %[c], #1\n"
            "vmla.f32 s16, %[m], s24\n"
            "vmla.f32 s17, %[m], s25\n"
            "vmla.f32 s18, %[m], s26\n"
            "vmla.f32 s19, %[m], s27\n"
            "vmla.f32 s20, %[m], s28\n"
            "vmla.f32 s21, %[m], s29\n"
            "vmla.f32 s22, %[m], s30\n"
            "vmla.f32 s23, %[m], s31\n"
            "vstmia %[w]!, {s16-s23}\n"
            "bne 1b\n"
            : [w] "+r" (to), [x] "+r" (x), [c] "+r" (eights)
            : [m] "t" (d)
            : "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",
            "s31", "cc", "memory");
    }
#endif
    for (size_t i = 0; i < n; i++) {
        to[i] += d * x[i];
    }
}

#endif

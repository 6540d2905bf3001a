// Depthwise convolution of one image, with its gradients.
#pragma once

#include "vectors.h"

namespace {

// A depthwise convolution of one image. `padded` has `margin` zeros around its pixels, `row` of them in a line.
template <typename T, int L, int K, int S, int D>
struct Depthwise {
    using V = typename Lanes<T, L>::V;

    // A line of outputs (count, C) from a kernel (K * K, C).
    static void line(const T* padded, int64_t row, const T* kernel, T* out, int64_t count, int64_t C) {
        for (int64_t c = 0; c < C; c += L) {
            int64_t x = 0;
            for (; x + 4 <= count; x += 4) pixels<4>(padded + x * S * C + c, row * C, kernel + c, out + x * C + c, C);
            for (; x < count; ++x) pixels<1>(padded + x * S * C + c, row * C, kernel + c, out + x * C + c, C);
        }
    }

    template <int B>
    static inline void pixels(const T* in, int64_t line, const T* kernel, T* out, int64_t C) {
        V sum[B] = {};
        for (int i = 0; i < K; ++i)
#pragma GCC unroll 5
            for (int j = 0; j < K; ++j) {
                V w = Lanes<T, L>::load(kernel + (i * K + j) * C);
#pragma GCC unroll 4
                for (int b = 0; b < B; ++b) sum[b] += w * Lanes<T, L>::load(in + i * D * line + (b * S + j * D) * C);
            }
        for (int b = 0; b < B; ++b) Lanes<T, L>::store(out + b * C, sum[b]);
    }

    // gradient (K * K, C) += over the pixels of grad: its value times the pixels that the kernel meets there.
    static void add_kernel_gradient(const T* padded, int64_t row, const T* grad, int64_t grad_row, int64_t height,
                                    int64_t width, int64_t C, T* gradient) {
        for (int64_t c = 0; c < C; c += L)
            for (int i = 0; i < K; ++i) {
                V sum[K] = {};
                for (int64_t y = 0; y < height; ++y) {
                    const T* in = padded + (y * S + i * D) * row * C + c;
                    const T* g = grad + y * grad_row * C + c;
                    for (int64_t x = 0; x < width; ++x) {
                        V value = Lanes<T, L>::load(g + x * C);
#pragma GCC unroll 5
                        for (int j = 0; j < K; ++j) sum[j] += value * Lanes<T, L>::load(in + (x * S + j * D) * C);
                    }
                }
                for (int j = 0; j < K; ++j) Lanes<T, L>::add(gradient + (i * K + j) * C + c, sum[j]);
            }
    }

    // padded += what each gradient sends back through the kernel.
    static void scatter(T* padded, int64_t row, const T* grad, int64_t grad_row, int64_t height, int64_t width, int64_t C,
                        const T* kernel) {
        for (int64_t c = 0; c < C; c += L)
            for (int64_t y = 0; y < height; ++y)
                for (int64_t x = 0; x < width; ++x) {
                    V g = Lanes<T, L>::load(grad + (y * grad_row + x) * C + c);
                    for (int i = 0; i < K; ++i)
                        for (int j = 0; j < K; ++j)
                            Lanes<T, L>::add(padded + ((y * S + i * D) * row + x * S + j * D) * C + c,
                                             g * Lanes<T, L>::load(kernel + (i * K + j) * C + c));
                }
    }
};

}  // namespace

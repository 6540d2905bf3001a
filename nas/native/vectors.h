// Channels as vectors, images in threads, and the sums and products of matrices whose rows are the channels of a pixel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace {

template <typename T, int L>
struct Lanes {
    typedef T V __attribute__((vector_size(L * sizeof(T)), aligned(sizeof(T))));  // loads may be unaligned
    static V load(const T* p) { return *reinterpret_cast<const V*>(p); }
    static void store(T* p, V v) { *reinterpret_cast<V*>(p) = v; }
    static void add(T* p, V v) { store(p, load(p) + v); }
    // A rectifier and its gradient; what is not a number stays so in the first and lets the gradient through, as in PyTorch.
    static V positive(V v) { return V{} > v ? V{} : v; }
    static V where_positive(V test, V v) { return test <= V{} ? V{} : v; }
};

constexpr int BLOCK = 8;  // rows of a matrix that are computed at once

void in_threads(int64_t images, int64_t threads, const std::function<void(int64_t, int64_t)>& work) {
    threads = std::min(threads, images);
    if (threads <= 1) return work(0, images);
    std::vector<std::thread> pool;
    for (int64_t t = 0; t < threads; ++t) pool.emplace_back(work, images * t / threads, images * (t + 1) / threads);
    for (auto& thread : pool) thread.join();
}

// rows (count, C) times a matrix (C, C) -> out; `step` and `out_step` lie between the rows.
template <typename T, int L>
void times_matrix(const T* rows, int64_t step, const T* matrix, T* out, int64_t out_step, int64_t count, int64_t C) {
    using V = typename Lanes<T, L>::V;
    for (int64_t c = 0; c < C; c += L) {
        int64_t p = 0;
        for (; p + BLOCK <= count; p += BLOCK) {
            V sum[BLOCK] = {};
            for (int64_t k = 0; k < C; ++k) {
                V m = Lanes<T, L>::load(matrix + k * C + c);
                for (int b = 0; b < BLOCK; ++b) sum[b] += rows[(p + b) * step + k] * m;
            }
            for (int b = 0; b < BLOCK; ++b) Lanes<T, L>::store(out + (p + b) * out_step + c, sum[b]);
        }
        for (; p < count; ++p) {
            V sum = {};
            for (int64_t k = 0; k < C; ++k) sum += rows[p * step + k] * Lanes<T, L>::load(matrix + k * C + c);
            Lanes<T, L>::store(out + p * out_step + c, sum);
        }
    }
}

// out (C, C) += left^T right, where left and right are (count, C).
template <typename T, int L>
void add_outer(const T* left, const T* right, T* out, int64_t count, int64_t C) {
    using V = typename Lanes<T, L>::V;
    constexpr int B = 4;  // C is a multiple of it
    for (int64_t c = 0; c < C; c += L)
        for (int64_t k = 0; k < C; k += B) {
            V sum[B] = {};
            for (int64_t p = 0; p < count; ++p) {
                V r = Lanes<T, L>::load(right + p * C + c);
                for (int b = 0; b < B; ++b) sum[b] += left[p * C + k + b] * r;
            }
            for (int b = 0; b < B; ++b) Lanes<T, L>::add(out + (k + b) * C + c, sum[b]);
        }
}

// sums (2, C; `apart` lies between both) += over `count` pixels: a, and a * b.
template <typename T, int L>
void add_sums(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t count, int64_t C, double* sums, int64_t apart) {
    using V = typename Lanes<T, L>::V;
    for (int64_t c = 0; c < C; c += L) {
        V one = {}, two = {};
        for (int64_t p = 0; p < count; ++p) {
            V v = Lanes<T, L>::load(a + p * a_step + c);
            one += v;
            two += v * Lanes<T, L>::load(b + p * b_step + c);
        }
        for (int l = 0; l < L; ++l) sums[c + l] += one[l], sums[apart + c + l] += two[l];
    }
}

// out = x * scale + shift by channel, over `count` pixels of C channels.
template <typename T>
void scale_channels(const T* x, const T* scale, const T* shift, T* out, int64_t count, int64_t C) {
    for (int64_t p = 0; p < count; ++p)
        for (int64_t c = 0; c < C; ++c) out[p * C + c] = x[p * C + c] * scale[c] + shift[c];
}

}  // namespace

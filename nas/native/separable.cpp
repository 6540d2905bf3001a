// Depthwise-separable convolutions with their batch normalisation, and the gradients, for CPUs; images are NHWC
// ("channels_last").
//
// oneDNN computes dilated and 5x5 depthwise gradients by slow loops, and every step of a separable convolution is a trip
// through memory. Here an image stays in the cache from the rectifier to the 1x1 convolution, a pixel's channels are one
// vector, and normalisation costs no pass of its own: its sums are taken while an output is made, and it is applied
// while the next convolution reads. No PyTorch headers: the file compiles in seconds, see native/__init__.py.
//
// Sums over images are formed image by image and added in the order of the images, so that the result does not depend on
// the number of threads.

#include "depthwise.h"
#include "normalise.h"

// One call: `groups` convolutions of `channels` channels each, all of one kernel size. Pointers are those of the first
// channel in use; `x_channels` and `out_channels` are the channels of a pixel in memory. The groups read the same
// channels (x_step = 0) or each its own (x_step = channels). Null pointers: not given, or not wanted.
template <typename T>
struct Call {
    int64_t images, height, width, out_height, out_width;
    int64_t channels, groups, x_channels, x_step, out_channels;
    int64_t kernel, stride, dilation, threads;
    const T *x, *x_scale, *x_shift;  // what is convolved is max(x * x_scale + x_shift, 0); without scale max(x, 0)
    const T *depthwise, *pointwise;  // (groups * C, k, k), (groups * C, C)
    T* out;                          // also read by the backward pass
    double* out_sums;                // (2, groups * C): of out and of its square
    // The gradient of `out` is grad * grad_scale + out * out_scale + grad_shift, by channel: batch normalisation's.
    const T *grad, *grad_scale, *out_scale, *grad_shift;
    T* grad_x;         // of x * x_scale + x_shift; added to
    double* x_sums;    // (2, groups * C): of grad_x and of grad_x * x, for inputs of their own
    T *grad_depthwise, *grad_pointwise;  // added to
};

namespace {

// A call's weights in the orders that the loops read: kernels (K * K, C) per group, upright and turned by 180 degrees;
// 1x1 as (in, out) per group, besides (out, in) as it comes.
template <typename T>
struct Weights {
    std::vector<T> upright, turned, in_out;

    explicit Weights(const Call<T>& call) {
        int64_t taps = call.kernel * call.kernel, C = call.channels;
        upright.resize(call.groups * taps * C), turned.resize(upright.size()), in_out.resize(call.groups * C * C);
        for (int64_t e = 0; e < call.groups; ++e)
            for (int64_t c = 0; c < C; ++c) {
                for (int64_t t = 0; t < taps; ++t) {
                    T value = call.depthwise[(e * C + c) * taps + t];
                    upright[(e * taps + t) * C + c] = turned[(e * taps + taps - 1 - t) * C + c] = value;
                }
                for (int64_t k = 0; k < C; ++k) in_out[(e * C + k) * C + c] = call.pointwise[(e * C + c) * C + k];
            }
    }
};

// One thread's work on its images, one group of one image at a time.
template <typename T, int L, int K, int S, int D>
struct Separable {
    using V = typename Lanes<T, L>::V;
    using Conv = Depthwise<T, L, K, S, D>;
    static constexpr int64_t MARGIN = D * (K / 2);

    const Call<T>& call;
    const Weights<T>& weights;
    const int64_t C, wide, row, pixels, grad_row;
    std::vector<T> padded, middle, grad, grad_padded, sent, line;

    Separable(const Call<T>& call, const Weights<T>& weights)
        : call(call), weights(weights), C(call.channels), wide(call.groups * call.channels), row(call.width + 2 * MARGIN),
          pixels(call.out_height * call.out_width), grad_row(call.out_width + 2 * MARGIN) {
        padded.resize((call.height + 2 * MARGIN) * row * C);  // the margins are never written
        middle.resize(pixels * C);
    }

    const T* x(int64_t n, int64_t e) const { return call.x + n * call.height * call.width * call.x_channels + e * call.x_step; }
    int64_t at(int64_t n, int64_t e) const { return n * pixels * call.out_channels + e * C; }

    // Read the input of a group through the normalisation and the rectifier.
    void read(int64_t n, int64_t e) {
        if (e && !call.x_step) return;  // the same as the last group's
        const T *in = x(n, e), *scale = call.x_scale + e * call.x_step, *shift = call.x_shift + e * call.x_step;
        for (int64_t y = 0; y < call.height; ++y)
            for (int64_t p = 0; p < call.width; ++p) {
                const T* from = in + (y * call.width + p) * call.x_channels;
                T* to = &padded[((y + MARGIN) * row + p + MARGIN) * C];
                for (int64_t c = 0; c < C; c += L) {
                    V v = Lanes<T, L>::load(from + c);
                    if (call.x_scale) v = v * Lanes<T, L>::load(scale + c) + Lanes<T, L>::load(shift + c);
                    Lanes<T, L>::store(to + c, Lanes<T, L>::positive(v));
                }
            }
    }

    void convolve(int64_t e) {
        for (int64_t y = 0; y < call.out_height; ++y)
            Conv::line(&padded[y * S * row * C], row, &weights.upright[e * K * K * C], &middle[y * call.out_width * C],
                       call.out_width, C);
    }

    void forward(int64_t n, double* sums) {
        for (int64_t e = 0; e < call.groups; ++e) {
            T* out = call.out + at(n, e);
            read(n, e);
            convolve(e);
            times_matrix<T, L>(middle.data(), C, &weights.in_out[e * C * C], out, call.out_channels, pixels, C);
            for (int64_t y = 0; sums && y < call.out_height; ++y) {
                const T* line = out + y * call.out_width * call.out_channels;
                add_sums<T, L>(line, call.out_channels, line, call.out_channels, call.out_width, C, sums + e * C, wide);
            }
        }
    }

    void backward(int64_t n, double* sums, T* grad_depthwise, T* grad_pointwise) {
        grad.resize(pixels * C), line.resize(call.width * C);
        grad_padded.resize((call.out_height + 2 * MARGIN) * grad_row * C);
        T* inner = &grad_padded[(MARGIN * grad_row + MARGIN) * C];
        for (int64_t e = 0; e < call.groups; ++e) {
            read_gradient(n, e);
            read(n, e);
            if (grad_pointwise) {
                convolve(e);
                add_outer<T, L>(grad.data(), middle.data(), grad_pointwise + e * C * C, pixels, C);
            }
            if (!call.grad_x && !grad_depthwise) continue;
            for (int64_t y = 0; y < call.out_height; ++y)
                times_matrix<T, L>(&grad[y * call.out_width * C], C, call.pointwise + e * C * C, inner + y * grad_row * C, C,
                                   call.out_width, C);
            if (grad_depthwise)
                Conv::add_kernel_gradient(padded.data(), row, inner, grad_row, call.out_height, call.out_width, C,
                                          grad_depthwise + e * C * K * K);
            if (call.grad_x) send_back(n, e, inner, sums);
        }
    }

    void read_gradient(int64_t n, int64_t e) {
        const T *from = call.grad + at(n, e), *out = call.out + at(n, e);
        const T *by_grad = call.grad_scale + e * C, *by_out = call.out_scale + e * C, *shift = call.grad_shift + e * C;
        for (int64_t p = 0; p < pixels; ++p)
            for (int64_t c = 0; c < C; c += L) {
                V v = Lanes<T, L>::load(from + p * call.out_channels + c) * Lanes<T, L>::load(by_grad + c);
                v += Lanes<T, L>::load(out + p * call.out_channels + c) * Lanes<T, L>::load(by_out + c);
                Lanes<T, L>::store(&grad[p * C + c], v + Lanes<T, L>::load(shift + c));
            }
    }

    // The gradient of the input: a convolution with the turned kernel, or, with a stride, what was sent back.
    void send_back(int64_t n, int64_t e, const T* inner, double* sums) {
        if (S > 1) {
            sent.assign(padded.size(), T(0));
            Conv::scatter(sent.data(), row, inner, grad_row, call.out_height, call.out_width, C,
                          &weights.upright[e * K * K * C]);
        }
        for (int64_t y = 0; y < call.height; ++y) {
            const T* back = &sent[S > 1 ? ((y + MARGIN) * row + MARGIN) * C : 0];
            if (S == 1) {
                Depthwise<T, L, K, 1, D>::line(&grad_padded[y * grad_row * C], grad_row, &weights.turned[e * K * K * C],
                                               line.data(), call.width, C);
                back = line.data();
            }
            rectify(n, e, y, back, sums);
        }
    }

    // Add a line of gradients where the rectifier let the input through, and to the sums.
    void rectify(int64_t n, int64_t e, int64_t y, const T* back, double* sums) {
        const T *test = &padded[((y + MARGIN) * row + MARGIN) * C], *in = x(n, e) + y * call.width * call.x_channels;
        T* out = call.grad_x + (in - call.x);
        for (int64_t p = 0; p < call.width; ++p)
            for (int64_t c = 0; c < C; c += L) {
                V v = Lanes<T, L>::load(back + p * C + c);
                Lanes<T, L>::add(out + p * call.x_channels + c,
                                 Lanes<T, L>::where_positive(Lanes<T, L>::load(test + p * C + c), v));
            }
        if (sums) add_sums<T, L>(out, call.x_channels, in, call.x_channels, call.width, C, sums + e * C, wide);
    }
};

template <typename T, int L, int K, int S, int D>
void run_forward(const Call<T>& call) {
    int64_t size = call.out_sums ? 2 * call.groups * call.channels : 0;
    Weights<T> weights(call);
    std::vector<double> parts(call.images * size);
    in_threads(call.images, call.threads, [&](int64_t first, int64_t last) {
        Separable<T, L, K, S, D> worker(call, weights);
        for (int64_t n = first; n < last; ++n) worker.forward(n, size ? &parts[n * size] : nullptr);
    });
    for (int64_t n = 0; n < call.images; ++n)
        for (int64_t i = 0; i < size; ++i) call.out_sums[i] += parts[n * size + i];
}

template <typename T, int L, int K, int S, int D>
void run_backward(const Call<T>& call) {
    int64_t C = call.channels, wide = call.groups * C, taps = K * K;
    int64_t size = call.x_sums ? 2 * wide : 0, kernels = call.grad_depthwise ? wide * taps : 0;
    int64_t matrices = call.grad_pointwise ? wide * C : 0;
    Weights<T> weights(call);
    std::vector<double> sums(call.images * size);
    std::vector<T> depthwise(call.images * kernels), pointwise(call.images * matrices);
    in_threads(call.images, call.threads, [&](int64_t first, int64_t last) {
        Separable<T, L, K, S, D> worker(call, weights);
        for (int64_t n = first; n < last; ++n)
            worker.backward(n, size ? &sums[n * size] : nullptr, kernels ? &depthwise[n * kernels] : nullptr,
                            matrices ? &pointwise[n * matrices] : nullptr);
    });
    for (int64_t n = 0; n < call.images; ++n) {
        for (int64_t i = 0; i < size; ++i) call.x_sums[i] += sums[n * size + i];
        for (int64_t i = 0; i < matrices; ++i) call.grad_pointwise[i] += pointwise[n * matrices + i];
        for (int64_t e = 0; kernels && e < call.groups; ++e)
            for (int64_t t = 0; t < taps; ++t)
                for (int64_t c = 0; c < C; ++c)
                    call.grad_depthwise[(e * C + c) * taps + t] += depthwise[n * kernels + (e * taps + t) * C + c];
    }
}

// The code for a call's sizes: lanes by the channels, then kernel, stride, dilation. Returns 1 where there is none.
template <typename T, int L>
int run(const Call<T>& call, bool back) {
    auto with = [&]<int K, int S, int D>() { return back ? run_backward<T, L, K, S, D>(call) : run_forward<T, L, K, S, D>(call), 0; };
    switch (call.kernel * 100 + call.stride * 10 + call.dilation) {
        case 311: return with.template operator()<3, 1, 1>();
        case 321: return with.template operator()<3, 2, 1>();
        case 312: return with.template operator()<3, 1, 2>();
        case 322: return with.template operator()<3, 2, 2>();
        case 511: return with.template operator()<5, 1, 1>();
        case 521: return with.template operator()<5, 2, 1>();
        case 512: return with.template operator()<5, 1, 2>();
        case 522: return with.template operator()<5, 2, 2>();
        default: return 1;
    }
}

// sums (2, C) += over the pixels: a, and a * b. Short sums in T, long ones in double.
template <typename T>
void all_sums(const T* a, const T* b, double* sums, int64_t count, int64_t C) {
    constexpr int64_t SHORT = 64;
    for (int64_t p = 0; p < count; p += SHORT) {
        int64_t now = std::min(SHORT, count - p);
        if (C % 16) add_sums<T, 4>(a + p * C, C, b + p * C, C, now, C, sums, C);
        else add_sums<T, 16>(a + p * C, C, b + p * C, C, now, C, sums, C);
    }
}

}  // namespace

// The functions that Python calls, for both types; they return 0 if all went well.
#define EXPORT(T, NAME)                                                                                               \
    extern "C" int scale_##NAME(const T* x, const T* scale, const T* shift, T* out, int64_t count, int64_t C) {       \
        return scale_channels(x, scale, shift, out, count, C), 0;                                                     \
    }                                                                                                                 \
    extern "C" int sums_##NAME(const T* a, const T* b, double* sums, int64_t count, int64_t C) {                      \
        return all_sums(a, b, sums, count, C), 0;                                                                     \
    }                                                                                                                 \
    extern "C" int normalise_##NAME(const double* sums, int64_t C, double count, double eps, double momentum,         \
                                     T* mean, T* variance, double* moments, T* scale, T* shift) {                     \
        return normalise(sums, C, count, eps, momentum, mean, variance, moments, scale, shift), 0;                    \
    }                                                                                                                 \
    extern "C" int normalise_backward_##NAME(const double* sums, const double* moments, const T* weight, int64_t C,   \
                                              double count, T* by_grad, T* by_x, T* constant, double* dot) {          \
        return normalise_backward(sums, moments, weight, C, count, by_grad, by_x, constant, dot), 0;                  \
    }

EXPORT(float, float)
EXPORT(double, double)

extern "C" int separable_float(const Call<float>* call, int back) {
    return call->channels % 16 ? run<float, 4>(*call, back) : run<float, 16>(*call, back);
}
extern "C" int separable_double(const Call<double>* call, int back) { return run<double, 4>(*call, back); }

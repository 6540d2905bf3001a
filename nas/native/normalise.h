// Batch normalisation as one scale and one shift a channel, from the sums that the convolutions take.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace {

// From `sums` (2, C) over `count` values to the normalisation's scale and shift, mean and 1 / deviation (2, C; kept for
// the backward pass), moving the running statistics by `momentum`; without sums from the running statistics.
template <typename T>
void normalise(const double* sums, int64_t C, double count, double eps, double momentum, T* running_mean, T* running_variance,
               double* moments, T* scale, T* shift) {
    for (int64_t c = 0; c < C; ++c) {
        double mean = running_mean[c], variance = running_variance[c];
        if (sums) {
            mean = sums[c] / count;
            variance = std::max(sums[C + c] / count - mean * mean, 0.0);  // std::fmax would make 0 of NaN
            running_mean[c] += T(momentum * (mean - running_mean[c]));
            running_variance[c] += T(momentum * (variance * count / std::max(count - 1, 1.0) - running_variance[c]));
        }
        double inverse = 1.0 / std::sqrt(variance + eps);
        moments[c] = mean, moments[C + c] = inverse;
        scale[c] = T(inverse), shift[c] = T(-mean * inverse);
    }
}

// The gradient of the normalised x * weight, given that of its output (`sums` of it and of it times x), as factors of
// gradient, x and 1; and `dot` (C), the gradient of weight. With count = 0 the statistics are constants.
template <typename T>
void normalise_backward(const double* sums, const double* moments, const T* weight, int64_t C, double count, T* by_grad,
                        T* by_x, T* constant, double* dot) {
    for (int64_t c = 0; c < C; ++c) {
        double mean = moments[c], inverse = moments[C + c], factor = inverse * (weight ? weight[c] : T(1));
        dot[c] = (sums[C + c] - mean * sums[c]) * inverse;
        double slope = count > 0 ? -factor * dot[c] * inverse / count : 0.0;
        by_grad[c] = T(factor), by_x[c] = T(slope);
        constant[c] = T(count > 0 ? -factor * sums[c] / count - slope * mean : 0.0);
    }
}

}  // namespace

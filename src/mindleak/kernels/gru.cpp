// The GRU (Cho et al., arXiv 1406.1078) as PyTorch and MindSpore have it, gates in the order reset, update, new: the
// reset gate is applied to the product h W_hn + b_hn, which is therefore a sum of its own.
#include "recurrent.h"

namespace mindleak {
namespace {

// Sums in the order x W_in, r, z, h W_hn, so that each product takes part in three neighbouring ones.
struct Gru {
  static constexpr int kUnits = kLanes, kKept = 5 * kLanes, kState = 4 * kLanes;
  static constexpr Gates kInput = {2, 0, 1, -1}, kRecurrent = {-1, 0, 1, 2}, kBias = {0, 1, 2, 3};
  using InputVectors = Vectors<0, 3>;
  using RecurrentVectors = Vectors<1, 3>;
  static constexpr bool kTicks = false;

  // n = tanh(x W_in + r (h' W_hn)), h = n + z (h' - n); keeps n, r, z, h' W_hn and h.
  static inline void forward(const Vector (&sum)[kVectors], const float* before, const float*, float* kept,
                             float* state) {
    const Vector reset = sigmoid(sum[1]), update = sigmoid(sum[2]), candidate = tanh(sum[0] + reset * sum[3]);
    const Vector hidden = candidate + update * ((before ? load(before) : Vector{}) - candidate);
    const Vector all[] = {candidate, reset, update, sum[3], hidden};
    for (int v = 0; v < 5; ++v) store(kept + v * kLanes, all[v]);
    store(state, hidden);
  }

  // `carried` is the part of h's gradient that came straight from the step after.
  static inline void backward(const float* kept, const float* before, const float*, const float* d_h, float* carried,
                              float* gradient) {
    const Vector candidate = load(kept), reset = load(kept + kLanes), update = load(kept + 2 * kLanes),
                 product = load(kept + 3 * kLanes), hidden = before ? load(before) : Vector{};
    const Vector d = load(carried) + load(d_h);
    store(carried, d * update);
    const Vector d_candidate = d * (1.0f - update) * (1.0f - candidate * candidate);
    store(gradient, d_candidate);
    store(gradient + kLanes, d_candidate * product * reset * (1.0f - reset));
    store(gradient + 2 * kLanes, d * (hidden - candidate) * update * (1.0f - update));
    store(gradient + 3 * kLanes, d_candidate * reset);
  }
};

}  // namespace
}  // namespace mindleak

MINDLEAK_RECURRENT(gru, mindleak::Gru, 0)

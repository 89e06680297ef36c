// The Elman network (Elman 1990), h = tanh(x W_ih + h' W_hh + b), and the Clockwork RNN (Koutnik et al., arXiv
// 1402.3511), which is one whose units hold their state where their clock does not tick.
#include "recurrent.h"

namespace mindleak {
namespace {

struct Elman {
  static constexpr int kUnits = kWidth, kKept = kWidth, kState = 0;
  static constexpr Gates kInput = {0, 0, 0, 0}, kRecurrent = {0, 0, 0, 0}, kBias = {0, 0, 0, 0};
  using InputVectors = Vectors<0, 4>;
  using RecurrentVectors = Vectors<0, 4>;
  static constexpr bool kTicks = true;

  // Keeps h.
  static inline void forward(const Vector (&sum)[kVectors], const float* before, const float* ticks, float* kept,
                             float* state) {
    for (int v = 0; v < kVectors; ++v) {
      const Vector held = before ? load(before + v * kLanes) : Vector{};
      const Vector hidden = load(ticks + v * kLanes) > 0.0f ? tanh(sum[v]) : held;
      store(kept + v * kLanes, hidden);
      store(state + v * kLanes, hidden);
    }
  }

  // `carried` is the gradient of the states that were held.
  static inline void backward(const float* kept, const float*, const float* ticks, const float* d_h, float* carried,
                              float* gradient) {
    for (int v = 0; v < kVectors; ++v) {
      const auto moves = load(ticks + v * kLanes) > 0.0f;
      const Vector hidden = load(kept + v * kLanes), d = load(carried + v * kLanes) + load(d_h + v * kLanes);
      store(gradient + v * kLanes, moves ? d * (1.0f - hidden * hidden) : Vector{});
      store(carried + v * kLanes, moves ? Vector{} : d);
    }
  }
};

}  // namespace
}  // namespace mindleak

MINDLEAK_RECURRENT(elman, mindleak::Elman, 1)

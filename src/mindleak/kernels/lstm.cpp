// The LSTM (Hochreiter & Schmidhuber 1997, with a forget gate): gates in the order input, forget, cell, output.
#include "recurrent.h"

namespace mindleak {
namespace {

struct Lstm {
  static constexpr int kUnits = kLanes, kKept = 5 * kLanes, kState = 4 * kLanes;
  static constexpr Gates kInput = {0, 1, 2, 3}, kRecurrent = {0, 1, 2, 3}, kBias = {0, 1, 2, 3};
  using InputVectors = Vectors<0, 4>;
  using RecurrentVectors = Vectors<0, 4>;
  static constexpr bool kTicks = false;

  // c = f c' + i g, h = o tanh(c); keeps i, f, g, o and c.
  static inline void forward(const Vector (&sum)[kVectors], const float* before, const float*, float* kept,
                             float* state) {
    const Vector in = sigmoid(sum[0]), forget = sigmoid(sum[1]), candidate = tanh(sum[2]), out = sigmoid(sum[3]);
    Vector cell = in * candidate;
    if (before) cell += forget * load(before);
    const Vector all[] = {in, forget, candidate, out, cell};
    for (int v = 0; v < 5; ++v) store(kept + v * kLanes, all[v]);
    store(state, out * tanh(cell));
  }

  // `carried` is the gradient of c that came from the step after.
  static inline void backward(const float* kept, const float* before, const float*, const float* d_h, float* carried,
                              float* gradient) {
    const Vector in = load(kept), forget = load(kept + kLanes), candidate = load(kept + 2 * kLanes),
                 out = load(kept + 3 * kLanes), state = tanh(load(kept + kState)), d_state = load(d_h);
    const Vector d = load(carried) + d_state * out * (1.0f - state * state);
    store(carried, d * forget);
    store(gradient, d * candidate * in * (1.0f - in));
    store(gradient + kLanes, d * (before ? load(before) : Vector{}) * forget * (1.0f - forget));
    store(gradient + 2 * kLanes, d * in * (1.0f - candidate * candidate));
    store(gradient + 3 * kLanes, d_state * state * out * (1.0f - out));
  }
};

}  // namespace
}  // namespace mindleak

MINDLEAK_RECURRENT(lstm, mindleak::Lstm, 0)

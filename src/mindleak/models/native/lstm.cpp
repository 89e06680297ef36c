// One LSTM layer, forward and backward (Hochreiter & Schmidhuber 1997; gates in the order input, forget, cell, output).
//
// Hidden units are taken in groups of kLanes. A group's four gates stand side by side (kWidth numbers), so that one
// block of the product x W_ih + h W_hh ends in registers with all that the units' new state depends on, and the gate
// functions follow without a detour through memory. What the backward pass needs is kept in the same order:
// gates (groups, steps, batch, kWidth), cell state (groups, steps, batch, kLanes).
#include "kernels.h"

namespace mindleak {
namespace {

struct Inputs;
struct Recurrent;
struct Biases;
struct HiddenGradient;
struct CellGradient;
struct WeightGradient;

struct Sizes {
  int64_t batch, steps, inputs, hidden, groups;

  // `x` is (batch, steps, inputs) and `w_hh` (4 hidden, hidden).
  Sizes(const Tensors& tensors, int x, int w_hh)
      : batch(tensors.side(x, 0)), steps(tensors.side(x, 1)), inputs(tensors.side(x, 2)),
        hidden(tensors.side(w_hh, 1)), groups((hidden + kLanes - 1) / kLanes) {}

  // Which (group, step, sample) a row of the gates or cell states belongs to.
  int64_t row(int64_t group, int64_t step, int64_t sample) const { return (group * steps + step) * batch + sample; }
};

// e^x - 1, to float accuracy for small x too: Taylor's series between -ln 2/2 and ln 2/2, then powers of two.
inline Vector exp_minus_one(Vector x) {
  const Vector low = Vector{} - 87.0f, high = Vector{} + 88.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  // Adding 1.5 * 2^23 leaves no bits for a fraction: rounding to a whole number.
  const Vector whole = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
  const Vector rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vector series = Vector{} + 1.0f / 5040;
  for (float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f}) series = series * rest + factor;
  const Integers bits = (__builtin_convertvector(whole, Integers) + 127) << 23;
  Vector power;
  std::memcpy(&power, &bits, sizeof power);
  return power * (series * rest) + (power - 1.0f);
}

inline Vector sigmoid(Vector x) { return 1.0f / (exp_minus_one(-x) + 2.0f); }

inline Vector tanh(Vector x) {
  const Vector exponential = exp_minus_one(2.0f * x);
  return exponential / (exponential + 2.0f);
}

// Copies `weights` (4 hidden, columns) to (groups, columns, kWidth), zeros for the units that fill up the last group.
void pack_by_group(const float* weights, int64_t hidden, int64_t columns, float* packed) {
  const int64_t groups = (hidden + kLanes - 1) / kLanes;
  std::fill_n(packed, groups * columns * kWidth, 0.0f);
  for (int64_t gate = 0; gate < 4; ++gate) {
    for (int64_t unit = 0; unit < hidden; ++unit) {
      const float* from = weights + (gate * hidden + unit) * columns;
      float* to = packed + unit / kLanes * columns * kWidth + gate * kLanes + unit % kLanes;
      for (int64_t column = 0; column < columns; ++column) to[column * kWidth] = from[column];
    }
  }
}

// Copies `weights` (4 hidden, columns) to (panels, groups, kWidth gates, kWidth columns), zeros where there are none.
void pack_by_column(const float* weights, int64_t hidden, int64_t columns, float* packed) {
  const int64_t groups = (hidden + kLanes - 1) / kLanes, panels = (columns + kWidth - 1) / kWidth;
  std::fill_n(packed, panels * groups * kWidth * kWidth, 0.0f);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t width = std::min<int64_t>(kWidth, columns - panel * kWidth);
    for (int64_t gate = 0; gate < 4; ++gate) {
      for (int64_t unit = 0; unit < hidden; ++unit) {
        const int64_t line = (panel * groups + unit / kLanes) * kWidth + gate * kLanes + unit % kLanes;
        std::copy_n(weights + (gate * hidden + unit) * columns + panel * kWidth, width, packed + line * kWidth);
      }
    }
  }
}

// Deals the batch out to the threads; more tasks than threads only where a task's rows would leave the cache.
template <class Task>
void by_samples(int64_t batch, Task task) {
  const int64_t size = std::min<int64_t>((batch + threads() - 1) / threads(), 96);
  parallel((batch + size - 1) / size,
           [&](int64_t part) { task(part * size, std::min(batch, (part + 1) * size)); });
}

// The rows first .. first + M of gate gradients at one step, times packed weights: M rows of one panel of columns.
template <int M>
inline void times_weights(const Sizes& sizes, const float* gradient, int64_t step, int64_t first, const float* panel,
                          Vector (&sum)[M][kVectors]) {
  for (int64_t group = 0; group < sizes.groups; ++group) {
    const float* rows = gradient + sizes.row(group, step, first) * kWidth;
    const float* weights = panel + group * kWidth * kWidth;
    accumulate(sum, kWidth, [&](int64_t k, int m) { return rows[m * kWidth + k]; },
                  [&](int64_t k) { return weights + k * kWidth; });
  }
}

// x (N, T, I), w_ih (4H, I), w_hh (4H, H), bias (4H) -> h (N, T, H), gates, cells, last h (N, H).
void forward(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 2);
  const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, H = sizes.hidden, G = sizes.groups;
  const float* x = tensors.floats(0);
  float *output = tensors.floats(4), *gates = tensors.floats(5), *cells = tensors.floats(6), *last = tensors.floats(7);
  float* w_ih = scratch<Inputs>(G * I * kWidth);
  float* w_hh = scratch<Recurrent>(G * H * kWidth);
  float* biases = scratch<Biases>(G * kWidth);
  pack_by_group(tensors.floats(1), H, I, w_ih);
  pack_by_group(tensors.floats(2), H, H, w_hh);
  pack_by_group(tensors.floats(3), H, 1, biases);

  const auto block = [=](int64_t step, int64_t group, int64_t first, auto rows) {
    constexpr int M = decltype(rows)::value;
    Vector sum[M][kVectors];
    for (int m = 0; m < M; ++m)
      for (int v = 0; v < kVectors; ++v) sum[m][v] = load(biases + group * kWidth + v * kLanes);
    const float *images = x + (first * T + step) * I, *weights = w_ih + group * I * kWidth;
    accumulate(sum, I, [=](int64_t k, int m) { return images[m * T * I + k]; },
                  [=](int64_t k) { return weights + k * kWidth; });
    if (step > 0) {
      const float *before = output + (first * T + step - 1) * H, *recurrent = w_hh + group * H * kWidth;
      accumulate(sum, H, [=](int64_t k, int m) { return before[m * T * H + k]; },
                    [=](int64_t k) { return recurrent + k * kWidth; });
    }
    for (int m = 0; m < M; ++m) {
      const int64_t row = sizes.row(group, step, first + m);
      const Vector in = sigmoid(sum[m][0]), forget = sigmoid(sum[m][1]), candidate = tanh(sum[m][2]),
                   out = sigmoid(sum[m][3]);
      Vector cell = in * candidate;
      if (step > 0) cell += forget * load(cells + (row - N) * kLanes);
      const Vector state = out * tanh(cell);
      const Vector kept[] = {in, forget, candidate, out};
      for (int v = 0; v < kVectors; ++v) store(gates + row * kWidth + v * kLanes, kept[v]);
      store(cells + row * kLanes, cell);
      const int64_t width = std::min<int64_t>(kLanes, H - group * kLanes) * sizeof(float);
      std::memcpy(output + ((first + m) * T + step) * H + group * kLanes, &state, width);
      if (step == T - 1) std::memcpy(last + (first + m) * H + group * kLanes, &state, width);
    }
  };
  by_samples(N, [&](int64_t begin, int64_t end) {
    for (int64_t step = 0; step < T; ++step)
      for (int64_t group = 0; group < G; ++group)
        in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) { block(step, group, first, rows); });
  });
}

// x (N, T, I), w_hh (4H, H), gates, cells, gradient of all h (N, T, H) or of the last (N, H)
// -> gradient of the gates before their functions, in the order of gates.
void backward(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 1);
  const int64_t N = sizes.batch, T = sizes.steps, H = sizes.hidden, G = sizes.groups;
  const float *gates = tensors.floats(2), *cells = tensors.floats(3), *given = tensors.floats(4);
  const bool every_step = tensors.dimensions[4] == 3;
  float* gradient = tensors.floats(5);
  const int64_t panels = (H + kWidth - 1) / kWidth, padded = panels * kWidth;
  float* w_hh = scratch<Recurrent>(panels * G * kWidth * kWidth);
  pack_by_column(tensors.floats(1), H, H, w_hh);

  by_samples(N, [&](int64_t begin, int64_t end) {
    float* d_hidden = scratch<HiddenGradient>((end - begin) * padded);
    float* d_cell = scratch<CellGradient>((end - begin) * padded);
    std::fill_n(d_hidden, (end - begin) * padded, 0.0f);
    std::fill_n(d_cell, (end - begin) * padded, 0.0f);
    for (int64_t step = T - 1; step >= 0; --step) {
      for (int64_t sample = begin; sample < end; ++sample) {
        float* d_h = d_hidden + (sample - begin) * padded;
        if (every_step || step == T - 1) {
          const float* from = given + (every_step ? (sample * T + step) * H : sample * H);
          for (int64_t unit = 0; unit < H; ++unit) d_h[unit] += from[unit];
        }
        for (int64_t group = 0; group < G; ++group) {
          const int64_t row = sizes.row(group, step, sample);
          const float* kept = gates + row * kWidth;
          const Vector in = load(kept), forget = load(kept + kLanes), candidate = load(kept + 2 * kLanes),
                       out = load(kept + 3 * kLanes), state = tanh(load(cells + row * kLanes)),
                       before = step > 0 ? load(cells + (row - N) * kLanes) : Vector{};
          float* carried = d_cell + (sample - begin) * padded + group * kLanes;
          const Vector d_state = load(d_h + group * kLanes);
          const Vector d = load(carried) + d_state * out * (1.0f - state * state);
          store(carried, d * forget);
          float* to = gradient + row * kWidth;
          store(to, d * candidate * in * (1.0f - in));
          store(to + kLanes, d * before * forget * (1.0f - forget));
          store(to + 2 * kLanes, d * in * (1.0f - candidate * candidate));
          store(to + 3 * kLanes, d_state * state * out * (1.0f - out));
        }
      }
      if (step == 0) break;
      for (int64_t panel = 0; panel < panels; ++panel) {
        in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) {
          constexpr int M = decltype(rows)::value;
          Vector sum[M][kVectors] = {};
          times_weights<M>(sizes, gradient, step, first, w_hh + panel * G * kWidth * kWidth, sum);
          for (int m = 0; m < M; ++m)
            for (int v = 0; v < kVectors; ++v)
              store(d_hidden + (first + m - begin) * padded + panel * kWidth + v * kLanes, sum[m][v]);
        });
      }
    }
  });
}

// sum[column] += column's numbers, one per row, times the rows' gate gradients: one step's share of a weight gradient.
inline void add_product(const float* columns, int64_t stride, int64_t count, const float* gradient, int64_t batch,
                        float* sums) {
  in_blocks<kRows>(0, count, [&](int64_t first, auto rows) {
    constexpr int M = decltype(rows)::value;
    Vector sum[M][kVectors];
    for (int m = 0; m < M; ++m)
      for (int v = 0; v < kVectors; ++v) sum[m][v] = load(sums + (first + m) * kWidth + v * kLanes);
    accumulate(sum, batch, [=](int64_t k, int m) { return columns[k * stride + first + m]; },
                  [=](int64_t k) { return gradient + k * kWidth; });
    for (int m = 0; m < M; ++m)
      for (int v = 0; v < kVectors; ++v) store(sums + (first + m) * kWidth + v * kLanes, sum[m][v]);
  });
}

// x (N, T, I), w_hh (4H, H, for its shape), h (N, T, H), gate gradient -> gradients of w_ih, w_hh and bias.
void weight_gradient(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 1);
  const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, H = sizes.hidden;
  const float *x = tensors.floats(0), *output = tensors.floats(2), *gradient = tensors.floats(3);
  float *d_ih = tensors.floats(4), *d_hh = tensors.floats(5), *d_bias = tensors.floats(6);

  parallel(sizes.groups, [&](int64_t group) {
    float* sums = scratch<WeightGradient>((I + H + 1) * kWidth);
    std::fill_n(sums, (I + H + 1) * kWidth, 0.0f);
    const float one = 1.0f;
    for (int64_t step = 0; step < T; ++step) {
      const float* rows = gradient + sizes.row(group, step, 0) * kWidth;
      add_product(x + step * I, T * I, I, rows, N, sums);
      if (step > 0) add_product(output + (step - 1) * H, T * H, H, rows, N, sums + I * kWidth);
      add_product(&one, 0, 1, rows, N, sums + (I + H) * kWidth);
    }
    for (int64_t lane = 0; lane < kWidth; ++lane) {
      const int64_t unit = group * kLanes + lane % kLanes, line = lane / kLanes * H + unit;
      if (unit >= H) continue;
      for (int64_t column = 0; column < I; ++column) d_ih[line * I + column] = sums[column * kWidth + lane];
      for (int64_t column = 0; column < H; ++column) d_hh[line * H + column] = sums[(I + column) * kWidth + lane];
      d_bias[line] = sums[(I + H) * kWidth + lane];
    }
  });
}

// x (N, T, I, for its shape), w_ih (4H, I), w_hh (4H, H, for its shape), gate gradient -> gradient of x.
void input_gradient(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 2);
  const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, H = sizes.hidden, G = sizes.groups;
  const int64_t panels = (I + kWidth - 1) / kWidth;
  const float* gradient = tensors.floats(3);
  float *w_ih = scratch<Inputs>(panels * G * kWidth * kWidth), *d_x = tensors.floats(4);
  pack_by_column(tensors.floats(1), H, I, w_ih);

  by_samples(N, [&](int64_t begin, int64_t end) {
    for (int64_t step = 0; step < T; ++step)
      for (int64_t panel = 0; panel < panels; ++panel)
        in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) {
          constexpr int M = decltype(rows)::value;
          Vector sum[M][kVectors] = {};
          times_weights<M>(sizes, gradient, step, first, w_ih + panel * G * kWidth * kWidth, sum);
          const int64_t width = std::min<int64_t>(kWidth, I - panel * kWidth) * sizeof(float);
          for (int m = 0; m < M; ++m) std::memcpy(d_x + ((first + m) * T + step) * I + panel * kWidth, sum[m], width);
        });
  });
}

}  // namespace
}  // namespace mindleak

MINDLEAK_OPERATOR(lstm_forward, 8, mindleak::forward)
MINDLEAK_OPERATOR(lstm_backward, 6, mindleak::backward)
MINDLEAK_OPERATOR(lstm_weight_gradient, 7, mindleak::weight_gradient)
MINDLEAK_OPERATOR(lstm_input_gradient, 5, mindleak::input_gradient)

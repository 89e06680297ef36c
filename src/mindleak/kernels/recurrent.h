// One recurrent layer, forward and backward, for any Cell: what lstm.cpp, gru.cpp and elman.cpp have in common.
//
// A layer has D directions, one or two. The second takes the steps from the last to the first, and its states stand
// beside those of the first, at the steps that they belong to: nothing is turned round, joined or cut up outside.
//
// Hidden units are taken in groups, such that all that a group's new state depends on is kWidth numbers: an LSTM's or a
// GRU's four sums of kLanes units, or an Elman network's one sum of kWidth units. One block of the product
// x W_ih + h W_hh ends in registers with these, and the cell's functions follow without a detour through memory. What
// the backward pass needs is kept in the same order, (groups, steps, batch, Cell::kKept).
//
// A Cell says
//   kUnits                 how many units a group has;
//   kKept, kState          how many numbers it keeps per group, and where in them the state lies that steps hand on;
//   kInput, kRecurrent,    which gate of W_ih, of W_hh and of the bias each of the four vectors of sums belongs to;
//   kBias
//   InputVectors,          which vectors the two products take part in;
//   RecurrentVectors
//   kTicks                 whether units stand still at some steps, as a last input (steps, hidden) of 0 and 1 says;
//   forward, backward      its functions, for one group of one sample at one step.
#pragma once

#include "functions.h"

namespace mindleak {

template <int First, int Count>
struct Vectors {
  static constexpr int kFirst = First, kCount = Count;
};

using Gates = int[kVectors];

template <class Cell>
struct RecurrentLayer {
  struct Inputs;
  struct Recurrent;
  struct Biases;
  struct Ticks;
  struct HiddenGradient;
  struct CarriedGradient;
  struct WeightGradient;
  struct Columns;

  using OfInput = typename Cell::InputVectors;
  using OfRecurrent = typename Cell::RecurrentVectors;
  // Rows that a weight gradient takes between picking its sums up and putting them down: as many as stay near.
  static constexpr int64_t kRowsAtATime = 256;

  struct Sizes {
    int64_t batch, steps, inputs, hidden, groups;

    // `x` is (batch, steps, inputs) and `w_hh` (gates hidden, hidden).
    Sizes(const Tensors& tensors, int x, int w_hh)
        : batch(tensors.side(x, 0)), steps(tensors.side(x, 1)), inputs(tensors.side(x, 2)),
          hidden(tensors.side(w_hh, 1)), groups((hidden + Cell::kUnits - 1) / Cell::kUnits) {}

    // Where in the sequence a direction's step lies.
    int64_t at(int direction, int64_t step) const { return direction == 0 ? step : steps - 1 - step; }

    // Which (group, step, sample) a row of what is kept, or of gradients, belongs to; steps as the direction takes them.
    int64_t row(int64_t group, int64_t step, int64_t sample) const { return (group * steps + step) * batch + sample; }

    // The row of a weight matrix that a group's number `lane` is the sum of; -1 if of none.
    int64_t line(const Gates& gates, int64_t group, int64_t lane) const {
      const int64_t unit = group * Cell::kUnits + lane % Cell::kUnits;
      const int gate = gates[lane / kLanes];
      return unit < hidden && gate >= 0 ? gate * hidden + unit : -1;
    }
  };

  // Which units move at a step: all, or those whose tick is 1.
  class Clock {
   public:
    // Input number `which` holds the ticks, if there are any.
    Clock(const Tensors& tensors, int which, const Sizes& sizes) : groups_(sizes.groups) {
      if constexpr (Cell::kTicks) {
        const float* given = tensors.floats(which);
        float* packed = scratch<Ticks>(sizes.steps * groups_ * Cell::kUnits);
        std::fill_n(packed, sizes.steps * groups_ * Cell::kUnits, 0.0f);
        for (int64_t step = 0; step < sizes.steps; ++step)
          std::copy_n(given + step * sizes.hidden, sizes.hidden, packed + step * groups_ * Cell::kUnits);
        ticks_ = packed;
      }
    }

    const float* of(int64_t step, int64_t group) const {
      return Cell::kTicks ? ticks_ + (step * groups_ + group) * Cell::kUnits : nullptr;
    }

    // Whether any unit of the group moves; where none does, its products need not be taken.
    bool moves(int64_t step, int64_t group) const {
      if constexpr (!Cell::kTicks) return true;
      const float* own = of(step, group);
      return std::any_of(own, own + Cell::kUnits, [](float tick) { return tick > 0.0f; });
    }

   private:
    int64_t groups_;
    const float* ticks_ = nullptr;
  };

  // Copies `weights` (gates hidden, columns) to (groups, columns, kWidth), zeros where a group has nothing.
  static void pack_by_group(const Sizes& sizes, const Gates& gates, const float* weights, int64_t columns,
                            float* packed) {
    std::fill_n(packed, sizes.groups * columns * kWidth, 0.0f);
    for (int64_t group = 0; group < sizes.groups; ++group) {
      for (int64_t lane = 0; lane < kWidth; ++lane) {
        const int64_t line = sizes.line(gates, group, lane);
        if (line < 0) continue;
        float* to = packed + group * columns * kWidth + lane;
        for (int64_t column = 0; column < columns; ++column) to[column * kWidth] = weights[line * columns + column];
      }
    }
  }

  // Copies `weights` (gates hidden, columns) to (panels, groups, kWidth lanes, kWidth columns), zeros as above.
  static void pack_by_column(const Sizes& sizes, const Gates& gates, const float* weights, int64_t columns,
                             float* packed) {
    const int64_t panels = (columns + kWidth - 1) / kWidth;
    std::fill_n(packed, panels * sizes.groups * kWidth * kWidth, 0.0f);
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t width = std::min<int64_t>(kWidth, columns - panel * kWidth);
      for (int64_t group = 0; group < sizes.groups; ++group) {
        for (int64_t lane = 0; lane < kWidth; ++lane) {
          const int64_t line = sizes.line(gates, group, lane);
          if (line < 0) continue;
          float* to = packed + ((panel * sizes.groups + group) * kWidth + lane) * kWidth;
          std::copy_n(weights + line * columns + panel * kWidth, width, to);
        }
      }
    }
  }

  // Deals the batch out to the threads; more tasks than threads only where a task's rows would leave the cache.
  template <class Task>
  static void by_samples(int64_t batch, Task task) {
    const int64_t size = std::min<int64_t>((batch + threads() - 1) / threads(), 96);
    parallel((batch + size - 1) / size,
             [&](int64_t part) { task(part * size, std::min(batch, (part + 1) * size)); });
  }

  // The rows first .. first + M of gradients at one step, times packed weights: M rows of one panel of columns.
  template <class Used, int M>
  static inline void times_weights(const Sizes& sizes, const Clock& clock, const float* gradient, int64_t step,
                                   int64_t first, const float* panel, Vector (&sum)[M][kVectors]) {
    constexpr int64_t kBegin = Used::kFirst * kLanes;
    for (int64_t group = 0; group < sizes.groups; ++group) {
      if (!clock.moves(step, group)) continue;
      const float* rows = gradient + sizes.row(group, step, first) * kWidth + kBegin;
      const float* weights = panel + (group * kWidth + kBegin) * kWidth;
      accumulate(sum, Used::kCount * kLanes, [&](int64_t k, int m) { return rows[m * kWidth + k]; },
                 [&](int64_t k) { return weights + k * kWidth; });
    }
  }

  // x (N, T, I), of each direction w_ih (gates H, I), w_hh (gates H, H) and bias, [ticks (T, H)]
  // -> h (N, T, D H), of each direction what is kept, last h (N, D H).
  static void forward(const Tensors& tensors, int directions, int direction) {
    const int own = 1 + 3 * direction, ticks = 1 + 3 * directions, made = ticks + Cell::kTicks;
    const Sizes sizes(tensors, 0, 2);
    const Clock clock(tensors, ticks, sizes);
    const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, H = sizes.hidden, G = sizes.groups;
    const int64_t W = directions * H;
    const float* x = tensors.floats(0);
    float *output = tensors.floats(made) + direction * H, *kept = tensors.floats(made + 1 + direction),
          *last = tensors.floats(made + 1 + directions) + direction * H;
    float* w_ih = scratch<Inputs>(G * I * kWidth);
    float* w_hh = scratch<Recurrent>(G * H * kWidth);
    float* biases = scratch<Biases>(G * kWidth);
    pack_by_group(sizes, Cell::kInput, tensors.floats(own), I, w_ih);
    pack_by_group(sizes, Cell::kRecurrent, tensors.floats(own + 1), H, w_hh);
    pack_by_group(sizes, Cell::kBias, tensors.floats(own + 2), 1, biases);

    const auto block = [=](int64_t step, int64_t group, int64_t first, auto rows) {
      constexpr int M = decltype(rows)::value;
      Vector sum[M][kVectors];
      for (int m = 0; m < M; ++m)
        for (int v = 0; v < kVectors; ++v) sum[m][v] = load(biases + group * kWidth + v * kLanes);
      if (clock.moves(step, group)) {
        const float *images = x + (first * T + sizes.at(direction, step)) * I, *weights = w_ih + group * I * kWidth;
        accumulate<OfInput::kFirst, OfInput::kCount>(sum, I, [=](int64_t k, int m) { return images[m * T * I + k]; },
                                                     [=](int64_t k) { return weights + k * kWidth; });
        if (step > 0) {
          const float* before = output + (first * T + sizes.at(direction, step - 1)) * W;
          const float* recurrent = w_hh + group * H * kWidth;
          accumulate<OfRecurrent::kFirst, OfRecurrent::kCount>(
              sum, H, [=](int64_t k, int m) { return before[m * T * W + k]; },
              [=](int64_t k) { return recurrent + k * kWidth; });
        }
      }
      const int64_t width = std::min<int64_t>(Cell::kUnits, H - group * Cell::kUnits) * sizeof(float);
      for (int m = 0; m < M; ++m) {
        const int64_t row = sizes.row(group, step, first + m);
        const float* before = step > 0 ? kept + (row - N) * Cell::kKept + Cell::kState : nullptr;
        float state[Cell::kUnits];
        Cell::forward(sum[m], before, clock.of(step, group), kept + row * Cell::kKept, state);
        const int64_t place = (first + m) * T + sizes.at(direction, step);
        std::memcpy(output + place * W + group * Cell::kUnits, state, width);
        if (step == T - 1) std::memcpy(last + (first + m) * W + group * Cell::kUnits, state, width);
      }
    };
    by_samples(N, [&](int64_t begin, int64_t end) {
      for (int64_t step = 0; step < T; ++step)
        for (int64_t group = 0; group < G; ++group)
          in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) { block(step, group, first, rows); });
    });
  }

  // x (N, T, I), w_hh of each direction, kept of each, gradient of all h (N, T, D H) or of the last (N, D H), [ticks]
  // -> of each direction the gradient of its sums, (groups, steps, batch, kWidth).
  static void backward(const Tensors& tensors, int directions, int direction) {
    const int all = 1 + 2 * directions, ticks = all + 1, made = ticks + Cell::kTicks;
    const Sizes sizes(tensors, 0, 1);
    const Clock clock(tensors, ticks, sizes);
    const int64_t N = sizes.batch, T = sizes.steps, H = sizes.hidden, G = sizes.groups, W = directions * H;
    const float *kept = tensors.floats(1 + directions + direction), *given = tensors.floats(all) + direction * H;
    const bool every_step = tensors.dimensions[all] == 3;
    float* gradient = tensors.floats(made + direction);
    const int64_t panels = (H + kWidth - 1) / kWidth, padded = panels * kWidth;
    float* w_hh = scratch<Recurrent>(panels * G * kWidth * kWidth);
    pack_by_column(sizes, Cell::kRecurrent, tensors.floats(1 + direction), H, w_hh);

    by_samples(N, [&](int64_t begin, int64_t end) {
      float* d_hidden = scratch<HiddenGradient>((end - begin) * padded);
      float* d_carried = scratch<CarriedGradient>((end - begin) * padded);
      std::fill_n(d_hidden, (end - begin) * padded, 0.0f);
      std::fill_n(d_carried, (end - begin) * padded, 0.0f);
      for (int64_t step = T - 1; step >= 0; --step) {
        if (every_step || step == T - 1) {
          for (int64_t sample = begin; sample < end; ++sample) {
            float* d_h = d_hidden + (sample - begin) * padded;
            const float* from = given + (every_step ? sample * T + sizes.at(direction, step) : sample) * W;
            for (int64_t unit = 0; unit < H; ++unit) d_h[unit] += from[unit];
          }
        }
        for (int64_t group = 0; group < G; ++group) {
          for (int64_t sample = begin; sample < end; ++sample) {
            const int64_t row = sizes.row(group, step, sample);
            const int64_t place = (sample - begin) * padded + group * Cell::kUnits;
            const float* before = step > 0 ? kept + (row - N) * Cell::kKept + Cell::kState : nullptr;
            Cell::backward(kept + row * Cell::kKept, before, clock.of(step, group), d_hidden + place, d_carried + place,
                           gradient + row * kWidth);
          }
        }
        if (step == 0) break;
        for (int64_t panel = 0; panel < panels; ++panel) {
          in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) {
            constexpr int M = decltype(rows)::value;
            Vector sum[M][kVectors] = {};
            times_weights<OfRecurrent>(sizes, clock, gradient, step, first, w_hh + panel * G * kWidth * kWidth, sum);
            for (int m = 0; m < M; ++m)
              for (int v = 0; v < kVectors; ++v)
                store(d_hidden + (first + m - begin) * padded + panel * kWidth + v * kLanes, sum[m][v]);
          });
        }
      }
    });
  }

  // The steps begin .. end of a weight gradient's sums, and how many rows they are of.
  struct Chunk {
    int64_t begin, end, rows;
  };

  // Copies columns of x or h, whose samples lie `stride` apart, to blocks of kRows columns, each with all rows of the
  // chunk: read where they lie, samples a power of two apart would throw each other out of the cache.
  static void pack_columns(const float* from, int64_t stride, int64_t samples, int64_t columns, const Chunk& chunk,
                           int64_t step, float* packed) {
    in_blocks<kRows>(0, columns, [&](int64_t first, auto size) {
      constexpr int M = decltype(size)::value;
      float* to = packed + first * chunk.rows + (step - chunk.begin) * samples * M;
      for (int64_t sample = 0; sample < samples; ++sample)
        std::memcpy(to + sample * M, from + sample * stride + first, M * sizeof(float));
    });
  }

  // sums[column] += the packed column's numbers, one per row, times a group's gradients, from a step of the chunk on.
  template <class Used>
  static inline void add_product(const Sizes& sizes, const Clock& clock, const Chunk& chunk, int64_t from,
                                 const float* packed, int64_t columns, const float* gradient, int64_t group,
                                 float* sums) {
    in_blocks<kRows>(0, columns, [&](int64_t first, auto size) {
      constexpr int M = decltype(size)::value;
      Vector sum[M][kVectors];
      for (int m = 0; m < M; ++m)
        for (int v = 0; v < kVectors; ++v) sum[m][v] = load(sums + (first + m) * kWidth + v * kLanes);
      for (int64_t step = from; step < chunk.end; ++step) {
        if (!clock.moves(step, group)) continue;
        const float* numbers = packed + first * chunk.rows + (step - chunk.begin) * sizes.batch * M;
        const float* rows = gradient + sizes.row(group, step, 0) * kWidth;
        accumulate<Used::kFirst, Used::kCount>(sum, sizes.batch, [=](int64_t k, int m) { return numbers[k * M + m]; },
                                               [=](int64_t k) { return rows + k * kWidth; });
      }
      for (int m = 0; m < M; ++m)
        for (int v = 0; v < kVectors; ++v) store(sums + (first + m) * kWidth + v * kLanes, sum[m][v]);
    });
  }

  // Writes the sums of a group, (columns, kWidth), to the rows of a weight's gradient that they belong to.
  static void unpack(const Sizes& sizes, const Gates& gates, int64_t group, const float* sums, int64_t columns,
                     float* weights) {
    for (int64_t lane = 0; lane < kWidth; ++lane) {
      const int64_t line = sizes.line(gates, group, lane);
      if (line < 0) continue;
      for (int64_t column = 0; column < columns; ++column) weights[line * columns + column] = sums[column * kWidth + lane];
    }
  }

  // x (N, T, I), w_hh (for its shape), h (N, T, D H), of each direction the gradient of its sums, [ticks]
  // -> of each direction the gradients of w_ih, w_hh and bias.
  static void weight_gradient(const Tensors& tensors, int directions, int direction) {
    const int ticks = 3 + directions, made = ticks + Cell::kTicks + 3 * direction;
    const Sizes sizes(tensors, 0, 1);
    const Clock clock(tensors, ticks, sizes);
    const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, H = sizes.hidden, W = directions * H;
    const float *x = tensors.floats(0), *output = tensors.floats(2) + direction * H,
                *gradient = tensors.floats(3 + direction);

    const int64_t steps = std::min(T, std::max<int64_t>(1, kRowsAtATime / N)), columns = I + H + 1;
    const int64_t tasks = std::min<int64_t>(threads(), sizes.groups);
    parallel(tasks, [&](int64_t task) {
      const int64_t first = task * sizes.groups / tasks, last = (task + 1) * sizes.groups / tasks;
      float* sums = scratch<WeightGradient>((last - first) * columns * kWidth);
      std::fill_n(sums, (last - first) * columns * kWidth, 0.0f);
      float* inputs = scratch<Columns>(steps * N * columns);
      for (int64_t begin = 0; begin < T; begin += steps) {
        const Chunk chunk{begin, std::min(T, begin + steps), steps * N};
        float *states = inputs + chunk.rows * I, *ones = states + chunk.rows * H;
        std::fill_n(ones, chunk.rows, 1.0f);
        // The first step has no state before it.
        const int64_t later = std::max<int64_t>(begin, 1);
        for (int64_t step = begin; step < chunk.end; ++step)
          pack_columns(x + sizes.at(direction, step) * I, T * I, N, I, chunk, step, inputs);
        for (int64_t step = later; step < chunk.end; ++step)
          pack_columns(output + sizes.at(direction, step - 1) * W, T * W, N, H, chunk, step, states);
        for (int64_t group = first; group < last; ++group) {
          float* own = sums + (group - first) * columns * kWidth;
          add_product<OfInput>(sizes, clock, chunk, begin, inputs, I, gradient, group, own);
          add_product<OfRecurrent>(sizes, clock, chunk, later, states, H, gradient, group, own + I * kWidth);
          add_product<Vectors<0, kVectors>>(sizes, clock, chunk, begin, ones, 1, gradient, group,
                                            own + (I + H) * kWidth);
        }
      }
      for (int64_t group = first; group < last; ++group) {
        const float* own = sums + (group - first) * columns * kWidth;
        unpack(sizes, Cell::kInput, group, own, I, tensors.floats(made));
        unpack(sizes, Cell::kRecurrent, group, own + I * kWidth, H, tensors.floats(made + 1));
        unpack(sizes, Cell::kBias, group, own + (I + H) * kWidth, 1, tensors.floats(made + 2));
      }
    });
  }

  // x (N, T, I, for its shape), w_ih of each direction, w_hh (for its shape), of each direction the gradient of its
  // sums, [ticks] -> gradient of x, to which the second direction adds.
  static void input_gradient(const Tensors& tensors, int directions, int direction) {
    const int shape = 1 + directions, ticks = shape + 1 + directions, made = ticks + Cell::kTicks;
    const Sizes sizes(tensors, 0, shape);
    const Clock clock(tensors, ticks, sizes);
    const int64_t N = sizes.batch, T = sizes.steps, I = sizes.inputs, G = sizes.groups;
    const int64_t panels = (I + kWidth - 1) / kWidth;
    const float* gradient = tensors.floats(shape + 1 + direction);
    float *w_ih = scratch<Inputs>(panels * G * kWidth * kWidth), *d_x = tensors.floats(made);
    pack_by_column(sizes, Cell::kInput, tensors.floats(1 + direction), I, w_ih);

    by_samples(N, [&](int64_t begin, int64_t end) {
      for (int64_t step = 0; step < T; ++step)
        for (int64_t panel = 0; panel < panels; ++panel)
          in_blocks<kRows>(begin, end, [&](int64_t first, auto rows) {
            constexpr int M = decltype(rows)::value;
            Vector sum[M][kVectors] = {};
            times_weights<OfInput>(sizes, clock, gradient, step, first, w_ih + panel * G * kWidth * kWidth, sum);
            const int64_t width = std::min<int64_t>(kWidth, I - panel * kWidth);
            for (int m = 0; m < M; ++m) {
              float* to = d_x + ((first + m) * T + sizes.at(direction, step)) * I + panel * kWidth;
              float lanes[kWidth];
              std::memcpy(lanes, sum[m], sizeof lanes);
              for (int64_t lane = 0; lane < width; ++lane) to[lane] = direction == 0 ? lanes[lane] : to[lane] + lanes[lane];
            }
          });
    });
  }
};

}  // namespace mindleak

// Defines the four operators of a cell, for one direction and for both; `ticks` is 1 for a cell that takes them, else 0.
#define MINDLEAK_RECURRENT(name, cell, ticks)                                 \
  MINDLEAK_DIRECTIONS(name##_forward, cell, forward, 7 + ticks, 11 + ticks)   \
  MINDLEAK_DIRECTIONS(name##_backward, cell, backward, 5 + ticks, 8 + ticks)  \
  MINDLEAK_DIRECTIONS(name##_weight_gradient, cell, weight_gradient, 7 + ticks, 11 + ticks) \
  MINDLEAK_DIRECTIONS(name##_input_gradient, cell, input_gradient, 5 + ticks, 7 + ticks)

#define MINDLEAK_DIRECTIONS(name, cell, function, one, two)                                               \
  MINDLEAK_OPERATOR(name, one, [](const mindleak::Tensors& tensors) {                                     \
    mindleak::RecurrentLayer<cell>::function(tensors, 1, 0);                                              \
  })                                                                                                      \
  MINDLEAK_OPERATOR(both_##name, two, [](const mindleak::Tensors& tensors) {                              \
    for (int direction : {0, 1}) mindleak::RecurrentLayer<cell>::function(tensors, 2, direction);         \
  })

// LeNet5's convolution block, max_pool2(relu(conv5(x) + bias)), forward and backward.
//
// A plane (one channel of one image, zeros around it where the convolution pads) is taken as one long row: output
// position p sees the inputs p + offset for 25 fixed offsets, so vectors run over the row's ends without a seam. The
// positions that straddle two lines come out as nonsense, which nobody reads, or stay zero in the backward pass.
// Pooling notes which of its four inputs it took; the gradient goes there, and nowhere where ReLU gave zero.
#include "kernels.h"

namespace mindleak {
namespace {

struct Source;
struct Result;
struct Gradient;

constexpr int kSide = 5, kTaps = kSide * kSide;
constexpr int kNone = 4;                 // ReLU was zero: no gradient
constexpr int kOverhang = 2 * kLanes;    // how far pooling's vectors reach beyond a plane's end

typedef uint8_t Bytes __attribute__((vector_size(kLanes)));

struct Sizes {
  int64_t batch, channels, height, width, outputs, pooled_height, pooled_width, padding;
  int64_t pitch, plane;      // of the padded input: numbers per line, and per channel
  int64_t positions;         // vectors of output positions, from the first to the last pooled one
  int64_t offsets[kTaps];    // of the kernel's 25 numbers

  // `x` is (N, C, H, W), `weights` (outputs, C, 5, 5), `pooled` (N, outputs, H', W').
  Sizes(const Tensors& tensors, int x, int weights, int pooled)
      : batch(tensors.side(x, 0)), channels(tensors.side(x, 1)), height(tensors.side(x, 2)),
        width(tensors.side(x, 3)), outputs(tensors.side(weights, 0)), pooled_height(tensors.side(pooled, 2)),
        pooled_width(tensors.side(pooled, 3)) {
    // Pooling leaves out an odd last line, so twice the pooled height may fall one short of the convolution's.
    padding = (2 * pooled_height + kSide - height) / 2;
    pitch = width + 2 * padding;
    plane = pitch * (height + 2 * padding);
    positions = ((2 * pooled_height - 1) * pitch + 2 * pooled_width + kLanes - 1) / kLanes;
    for (int tap = 0; tap < kTaps; ++tap) offsets[tap] = tap / kSide * pitch + tap % kSide;
  }
};

// Copies one image (C, H, W) to padded planes; whole vectors may be read past the end.
void pad(const Sizes& sizes, const float* image, float* planes) {
  if (sizes.padding == 0) {
    std::copy_n(image, sizes.channels * sizes.plane, planes);
  } else {
    std::fill_n(planes, sizes.channels * sizes.plane, 0.0f);
    for (int64_t line = 0; line < sizes.channels * sizes.height; ++line) {
      const int64_t channel = line / sizes.height, row = line % sizes.height + sizes.padding;
      std::copy_n(image + line * sizes.width, sizes.width,
                  planes + channel * sizes.plane + row * sizes.pitch + sizes.padding);
    }
  }
  std::fill_n(planes + sizes.channels * sizes.plane, kLanes, 0.0f);
}

int64_t padded_size(const Sizes& sizes) { return sizes.channels * sizes.plane + kLanes; }

// result[row][p] = bias[row] + sum over channels and taps of weight(row, channel, tap) * source(channel, p + offset).
struct Correlation {
  const float* weights;
  int64_t row_stride, channel_stride;  // of the weights
  const float* source;
  int64_t plane;                       // distance between the source's channels
  const int64_t* offsets;
  int64_t channels;
  const float* bias;                   // null: zero

  void operator()(int64_t rows, int64_t vectors, float* result) const {
    in_blocks<kRows>(0, rows, [&](int64_t row, auto row_count) {
      in_blocks<kVectors>(0, vectors, [&](int64_t vector, auto vector_count) {
        constexpr int M = decltype(row_count)::value, V = decltype(vector_count)::value;
        Vector sum[M][V];
        for (int m = 0; m < M; ++m)
          for (int v = 0; v < V; ++v) sum[m][v] = Vector{} + (bias ? bias[row + m] : 0.0f);
        for (int64_t channel = 0; channel < channels; ++channel) {
          const float* left = weights + row * row_stride + channel * channel_stride;
          const float* right = source + channel * plane + vector * kLanes;
          accumulate(sum, kTaps, [&](int64_t k, int m) { return left[m * row_stride + k]; },
                     [&](int64_t k) { return right + offsets[k]; });
        }
        for (int m = 0; m < M; ++m)
          for (int v = 0; v < V; ++v) store(result + ((row + m) * vectors + vector + v) * kLanes, sum[m][v]);
      });
    });
  }
};

// The even and the odd ones of 2 kLanes numbers, and the way back.
struct Pairs {
  Integers lane, even, odd, front, back;

  Pairs() {
    for (int i = 0; i < kLanes; ++i) {
      lane[i] = i;
      even[i] = 2 * i;
      odd[i] = 2 * i + 1;
      front[i] = i / 2 + i % 2 * kLanes;
      back[i] = front[i] + kLanes / 2;
    }
  }
};

// ReLU and 2x2 maximum of one channel; of equal inputs the first counts.
void pool(const Sizes& sizes, const float* values, float* pooled, uint8_t* choices) {
  const Pairs pairs;
  const int64_t width = sizes.pooled_width;
  for (int64_t line = 0; line < sizes.pooled_height; ++line) {
    for (int64_t column = 0; column < width; column += kLanes) {
      const float *from = values + 2 * (line * sizes.pitch + column), *below = from + sizes.pitch;
      const Vector upper[] = {load(from), load(from + kLanes)}, lower[] = {load(below), load(below + kLanes)};
      const Vector a = __builtin_shuffle(upper[0], upper[1], pairs.even);
      const Vector b = __builtin_shuffle(upper[0], upper[1], pairs.odd);
      const Vector c = __builtin_shuffle(lower[0], lower[1], pairs.even);
      const Vector d = __builtin_shuffle(lower[0], lower[1], pairs.odd);
      const Vector top = b > a ? b : a, bottom = d > c ? d : c, greatest = bottom > top ? bottom : top;
      const Integers in_top = -(b > a), in_bottom = 2 - (d > c), none = greatest <= 0.0f;
      const Vector most = none ? Vector{} : greatest;  // not-a-number stays what it is
      const Integers which = bottom > top ? in_bottom : in_top, choice = none ? Integers{} + kNone : which;
      const Bytes bytes = __builtin_convertvector(choice, Bytes);
      const int64_t count = std::min<int64_t>(kLanes, width - column);
      std::memcpy(pooled + line * width + column, &most, count * sizeof(float));
      std::memcpy(choices + line * width + column, &bytes, count);
    }
  }
}

// Puts a channel's gradient (H', W') where pooling took its inputs, and zeros where it did not: channel `index` of
// all the batch's. The vectors at a line's end write zeros beyond it, so the order counts: whatever belongs there
// must come later.
void unpool(const Sizes& sizes, const float* gradients, const uint8_t* choices, int64_t index, float* plane) {
  const Pairs pairs;
  const int64_t width = sizes.pooled_width, area = width * sizes.pooled_height;
  const int64_t all = sizes.batch * sizes.outputs * area;
  for (int64_t line = 0; line < 2 * sizes.pooled_height; ++line) {
    const int first = line % 2 * 2;
    for (int64_t column = 0; column < width; column += kLanes) {
      const int64_t from = index * area + line / 2 * width + column;
      Vector gradient = {};
      Bytes bytes = {};
      if (from + kLanes <= all) {  // reading on into the next line is quicker than copying a part of a vector
        std::memcpy(&bytes, choices + from, kLanes);
        gradient = pairs.lane < static_cast<int>(width - column) ? load(gradients + from) : gradient;
      } else {
        std::memcpy(&bytes, choices + from, all - from);
        std::memcpy(&gradient, gradients + from, std::min(all - from, width - column) * sizeof(float));
      }
      const Integers choice = __builtin_convertvector(bytes, Integers);
      const Vector even = choice == first ? gradient : Vector{}, odd = choice == first + 1 ? gradient : Vector{};
      float* to = plane + line * sizes.pitch + 2 * column;
      store(to, __builtin_shuffle(even, odd, pairs.front));
      store(to + kLanes, __builtin_shuffle(even, odd, pairs.back));
    }
  }
}

// x (N, C, H, W), weights (outputs, C, 5, 5), bias (outputs) -> pooled (N, outputs, H', W'), choice (same, bytes).
void forward(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 1, 3);
  const int64_t image = sizes.channels * sizes.height * sizes.width, kernel = sizes.channels * kTaps;
  const int64_t area = sizes.pooled_height * sizes.pooled_width;
  parallel(sizes.batch, [&](int64_t sample) {
    float* source = scratch<Source>(padded_size(sizes));
    float* result = scratch<Result>(sizes.outputs * sizes.positions * kLanes + kOverhang);
    pad(sizes, tensors.floats(0) + sample * image, source);
    Correlation{tensors.floats(1), kernel, kTaps, source, sizes.plane, sizes.offsets, sizes.channels,
                tensors.floats(2)}(sizes.outputs, sizes.positions, result);
    for (int64_t output = 0; output < sizes.outputs; ++output) {
      const int64_t to = (sample * sizes.outputs + output) * area;
      pool(sizes, result + output * sizes.positions * kLanes, tensors.floats(3) + to, tensors.bytes(4) + to);
    }
  });
}

// Adds the samples' shares to sums (outputs, C, 25) of vectors, whose lanes are yet to be added up.
void weight_sums(const Sizes& sizes, const float* sources, const float* gradients, int64_t samples, float* sums) {
  constexpr int kBlock = kRows > 4 ? 4 : 2;  // kBlock x kSide sums in registers
  const int64_t source_size = padded_size(sizes), row = sizes.positions * kLanes;
  in_blocks<kBlock>(0, sizes.outputs, [&](int64_t output, auto count) {
    constexpr int M = decltype(count)::value;
    for (int64_t line = 0; line < sizes.channels * kSide; ++line) {
      const float* source = sources + line / kSide * sizes.plane + line % kSide * sizes.pitch;
      Vector sum[M][kSide] = {};
      for (int64_t sample = 0; sample < samples; ++sample) {
        const float* left = gradients + (sample * sizes.outputs + output) * row;
        const float* right = source + sample * source_size;
        for (int64_t p = 0; p < row; p += kLanes) {
          Vector input[kSide];
#pragma GCC unroll 5
          for (int tap = 0; tap < kSide; ++tap) input[tap] = in_register(load(right + p + tap));
#pragma GCC unroll 4
          for (int m = 0; m < M; ++m) {
            const Vector factor = load(left + m * row + p);
#pragma GCC unroll 5
            for (int tap = 0; tap < kSide; ++tap) sum[m][tap] += factor * input[tap];
          }
        }
      }
      for (int m = 0; m < M; ++m)
        for (int tap = 0; tap < kSide; ++tap)
          store(sums + (((output + m) * sizes.channels * kSide + line) * kSide + tap) * kLanes, sum[m][tap]);
    }
  });
}

// x, weights (for its shape), choice, gradient of pooled -> gradients of weights and bias.
//
// Samples are summed in parts whose number depends on the batch only, then the parts in their order.
void weight_gradient(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 1, 3);
  const int64_t image = sizes.channels * sizes.height * sizes.width, weights = sizes.channels * kTaps * sizes.outputs;
  const int64_t row = sizes.positions * kLanes;
  const int64_t part_size = std::max<int64_t>(8, (sizes.batch + 15) / 16);
  const int64_t parts = (sizes.batch + part_size - 1) / part_size, sums_size = (weights + sizes.outputs) * kLanes;
  float* sums = scratch<Result>(parts * sums_size);

  parallel(parts, [&](int64_t part) {
    const int64_t first = part * part_size, samples = std::min(part_size, sizes.batch - first);
    float* sources = scratch<Source>(samples * padded_size(sizes));
    float* gradients = scratch<Gradient>(samples * sizes.outputs * row + kOverhang);
    std::fill_n(gradients, samples * sizes.outputs * row, 0.0f);
    for (int64_t sample = 0; sample < samples; ++sample) {
      pad(sizes, tensors.floats(0) + (first + sample) * image, sources + sample * padded_size(sizes));
      for (int64_t output = 0; output < sizes.outputs; ++output) {
        unpool(sizes, tensors.floats(3), tensors.bytes(2), (first + sample) * sizes.outputs + output,
               gradients + (sample * sizes.outputs + output) * row);
      }
    }
    float* to = sums + part * sums_size;
    weight_sums(sizes, sources, gradients, samples, to);
    for (int64_t output = 0; output < sizes.outputs; ++output) {
      Vector sum = {};
      for (int64_t sample = 0; sample < samples; ++sample)
        for (int64_t p = 0; p < row; p += kLanes) sum += load(gradients + (sample * sizes.outputs + output) * row + p);
      store(to + (weights + output) * kLanes, sum);
    }
  });
  for (int64_t weight = 0; weight < weights + sizes.outputs; ++weight) {
    Vector sum = {};
    for (int64_t part = 0; part < parts; ++part) sum += load(sums + part * sums_size + weight * kLanes);
    (weight < weights ? tensors.floats(4)[weight] : tensors.floats(5)[weight - weights]) = total(sum);
  }
}

// x (for its shape), weights, choice, gradient of pooled -> gradient of x.
void input_gradient(const Tensors& tensors) {
  const Sizes sizes(tensors, 0, 1, 3);
  const int64_t image = sizes.channels * sizes.height * sizes.width;
  const int64_t vectors = (sizes.plane + kLanes - 1) / kLanes, row = vectors * kLanes;
  // Input p reached the outputs p - offset: zeros go before the first, as far as the largest offset.
  const int64_t before = sizes.offsets[kTaps - 1], plane = before + row;
  int64_t offsets[kTaps];
  for (int tap = 0; tap < kTaps; ++tap) offsets[tap] = -sizes.offsets[tap];
  parallel(sizes.batch, [&](int64_t sample) {
    float* gradients = scratch<Gradient>(sizes.outputs * plane + kOverhang);
    float* result = scratch<Result>(sizes.channels * row);
    std::fill_n(gradients, sizes.outputs * plane, 0.0f);
    for (int64_t output = 0; output < sizes.outputs; ++output) {
      unpool(sizes, tensors.floats(3), tensors.bytes(2), sample * sizes.outputs + output,
             gradients + before + output * plane);
    }
    Correlation{tensors.floats(1), kTaps, sizes.channels * kTaps, gradients + before, plane, offsets, sizes.outputs,
                nullptr}(sizes.channels, vectors, result);
    for (int64_t line = 0; line < sizes.channels * sizes.height; ++line) {
      const int64_t from = line / sizes.height * row + (line % sizes.height + sizes.padding) * sizes.pitch;
      std::copy_n(result + from + sizes.padding, sizes.width, tensors.floats(4) + sample * image + line * sizes.width);
    }
  });
}

}  // namespace
}  // namespace mindleak

MINDLEAK_OPERATOR(conv_forward, 5, mindleak::forward)
MINDLEAK_OPERATOR(conv_weight_gradient, 6, mindleak::weight_gradient)
MINDLEAK_OPERATOR(conv_input_gradient, 5, mindleak::input_gradient)

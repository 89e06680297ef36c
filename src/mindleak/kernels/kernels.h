// What the kernels share: vectors as wide as the machine's, the register-blocked product, threads, scratch memory.
//
// A kernel is called by MindSpore (ops.Custom, "aot") with the addresses and shapes of its inputs and outputs.
// Every sum is taken in an order that depends on shapes only, so results do not change with the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace mindleak {

// kRows x kVectors sums stay in registers, with room for the operands: 32 registers with AVX-512 and on ARM, else 16.
constexpr int kVectors = 4;
#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 6;
#elif defined(__AVX__)
constexpr int kLanes = 8, kRows = 3;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kRows = 6;
#else
constexpr int kLanes = 4, kRows = 3;
#endif
constexpr int kWidth = kLanes * kVectors;

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

// The same value, in a register for good: GCC may read unaligned memory anew at every use instead.
inline Vector in_register(Vector value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#elif defined(__x86_64__)
  asm("" : "+x"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

inline float total(Vector value) {
  float lanes[kLanes];
  store(lanes, value);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

inline int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// sum[m] += left(k, m) * right(k)[0..V kLanes) for all k below count: a number for each of M rows, and an address.
// With Count, only the vectors First .. First + Count of sum and right take part.
// The numbers are held in registers and the vectors pass by one at a time: of 16 registers, 12 for sums, 3 for numbers
// and 1 are just enough. Left to itself GCC holds one number, reads the vectors anew for each, and waits for memory.
template <int First = 0, int Count = 0, int M, int V, class Left, class Right>
__attribute__((always_inline)) inline void accumulate(Vector (&sum)[M][V], int64_t count, Left left, Right right) {
  constexpr int kCount = Count ? Count : V - First;
  for (int64_t k = 0; k < count; ++k) {
    const float* from = right(k) + First * kLanes;
    Vector factor[M];
#pragma GCC unroll 6
    for (int m = 0; m < M; ++m) factor[m] = in_register(left(k, m) - Vector{});  // subtracting zero costs nothing
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const Vector column = in_register(load(from + v * kLanes));
#pragma GCC unroll 6
      for (int m = 0; m < M; ++m) sum[m][First + v] += factor[m] * column;
    }
  }
}

// Calls block(first, size) for consecutive blocks of at most MaxSize rows; size is a constant to the compiler.
template <int MaxSize, class Block>
inline void in_blocks(int64_t first, int64_t end, Block block) {
  for (; first + MaxSize <= end; first += MaxSize) block(first, std::integral_constant<int, MaxSize>{});
  if constexpr (MaxSize > 1) {
    if (first < end) in_blocks<MaxSize - 1>(first, end, block);
  }
}

// Memory of the calling thread for one purpose (Purpose is any type of the caller's), kept for the next call.
// It starts on a cache line, which spares most vectors from reaching over two.
template <class Purpose>
inline float* scratch(int64_t count) {
  struct Line {
    alignas(64) float values[16];
  };
  thread_local std::vector<Line> memory;
  if (memory.size() * 16 < static_cast<size_t>(count)) memory = std::vector<Line>((count + 15) / 16);
  return memory.data()->values;
}

// Calls task(0) … task(count - 1), each once, on as many threads as set_threads allows.
void parallel(int64_t count, const std::function<void(int64_t)>& task);

// How many threads parallel may use.
int threads();

// An operator's tensors, inputs first, as MindSpore hands them over.
struct Tensors {
  void** data;
  int64_t** shapes;
  int* dimensions;

  float* floats(int which) const { return static_cast<float*>(data[which]); }
  uint8_t* bytes(int which) const { return static_cast<uint8_t*>(data[which]); }
  int64_t side(int which, int axis) const { return shapes[which][axis]; }
};

}  // namespace mindleak

// Defines the function that MindSpore looks up by name; an exception must not leave it.
#define MINDLEAK_OPERATOR(name, count, body)                                                              \
  extern "C" int name(int tensors, void** data, int* dimensions, int64_t** shapes, const char**, void*,   \
                      void*) {                                                                            \
    if (tensors != (count)) return 1;                                                                     \
    try {                                                                                                 \
      body(mindleak::Tensors{data, shapes, dimensions});                                                  \
      return 0;                                                                                           \
    } catch (...) {                                                                                       \
      return 2;                                                                                           \
    }                                                                                                     \
  }

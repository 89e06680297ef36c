// The functions of recurrent cells, a vector at a time.
#pragma once

#include "kernels.h"

namespace mindleak {

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

}  // namespace mindleak

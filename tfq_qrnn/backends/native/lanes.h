// Vectors of W samples, and the elementary functions on them.
//
// Float functions are polynomials, so that all lanes are computed at once: the reductions and coefficients are those of
// the Cephes library (sin, cos, exp) and of Eigen (erf, tanh), good to a few units in the last place. Double is the
// precision of reference and calls libm lane by lane, except for sin and cos.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_LANES_H_
#define TFQ_QRNN_BACKENDS_NATIVE_LANES_H_

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
struct VectorOf {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
};
template <class T, int W>
using Vector = typename VectorOf<T, W>::type;

template <class T>
struct IntegerOf;
template <>
struct IntegerOf<float> {
  typedef int32_t type;
};
template <>
struct IntegerOf<double> {
  typedef int64_t type;
};

// What depends on the precision: how sin and cos are reduced and approximated on [-pi/4, pi/4].
template <class T>
struct Trigonometry;
template <>
struct Trigonometry<float> {
  static constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the low bits
  static constexpr float kLimit = 8192.0f;      // beyond, the reduction loses digits
  static constexpr float kHalfPi[3] = {1.5703125f, 4.837512969970703125e-4f, 7.54978995489188216e-8f};
  template <class V>
  static INLINE V Sin(V r, V r2) {
    return r + r * r2 * (-1.6666654611e-1f + r2 * (8.3321608736e-3f + r2 * -1.9515295891e-4f));
  }
  template <class V>
  static INLINE V Cos(V r2) {
    // 1 - x with one rounding: (1 - r2/2) + y rounds 1e-9 low on average, and a long sequence would shrink the state.
    return 1.0f -
           r2 * (0.5f - r2 * (4.166664568298827e-2f + r2 * (-1.388731625493765e-3f + r2 * 2.443315711809948e-5f)));
  }
};
template <>
struct Trigonometry<double> {
  static constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kLimit = 1048576.0;
  static constexpr double kHalfPi[3] = {1.57079625129699707031, 7.54978941586159635336e-8, 5.39030285815811905290e-15};
  template <class V>
  static INLINE V Sin(V r, V r2) {
    return r + r * r2 *
                   (-1.66666666666666307295e-1 +
                    r2 * (8.33333333332211858878e-3 +
                          r2 * (-1.98412698295895385996e-4 +
                                r2 * (2.75573136213857245213e-6 +
                                      r2 * (-2.50507477628578072866e-8 + r2 * 1.58962301576546568060e-10)))));
  }
  template <class V>
  static INLINE V Cos(V r2) {
    return 1.0 - r2 * (0.5 -
                       r2 * (4.16666666666665929218e-2 +
                             r2 * (-1.38888888888730564116e-3 +
                                   r2 * (2.48015872888517045348e-5 +
                                         r2 * (-2.75573141792967388112e-7 +
                                               r2 * (2.08757008419747316778e-9 + r2 * -1.13585365213876817300e-11))))));
  }
};

template <class T, int W>
struct Lanes {
  typedef Vector<T, W> V;
  typedef typename IntegerOf<T>::type Integer;
  typedef Vector<Integer, W> I;

  static INLINE V Fill(T x) { return V{} + x; }

  template <class F>
  static INLINE V Map(V x, F f) {
    for (int i = 0; i < W; i++) x[i] = f(x[i]);
    return x;
  }

  static INLINE V Abs(V x) { return x < 0 ? -x : x; }

  static INLINE bool Any(I mask) {
    Integer any = 0;
    for (int i = 0; i < W; i++) any |= mask[i];
    return any != 0;
  }

  // sin and cos of `count` vectors.
  static void SinCos(const V* x, V* sine, V* cosine, int64_t count) {
    typedef Trigonometry<T> Trig;
    I large = {};
    for (int64_t k = 0; k < count; k++) {
      const V shifted = x[k] * T(0.63661977236758134308) + Trig::kMagic;
      const I quadrant = (I)shifted;  // the bits, of which only the lowest two matter
      const V q = shifted - Trig::kMagic;
      const V r = ((x[k] - q * Trig::kHalfPi[0]) - q * Trig::kHalfPi[1]) - q * Trig::kHalfPi[2];
      const V r2 = r * r;
      const V s = Trig::Sin(r, r2), c = Trig::Cos(r2);
      const I odd = (quadrant & 1) != 0;
      const V s1 = odd ? c : s, c1 = odd ? s : c;
      sine[k] = (quadrant & 2) != 0 ? -s1 : s1;
      cosine[k] = ((quadrant + 1) & 2) != 0 ? -c1 : c1;
      large |= ~(Abs(x[k]) <= Trig::kLimit);
    }
    if (!Any(large)) return;
    for (int64_t k = 0; k < count; k++) {
      for (int i = 0; i < W; i++) {
        if (x[k][i] <= Trig::kLimit && x[k][i] >= -Trig::kLimit) continue;
        sine[k][i] = __builtin_sin(x[k][i]);
        cosine[k][i] = __builtin_cos(x[k][i]);
      }
    }
  }
};

// exp and the like, on a vector.
template <class T, int W>
struct Elementary;

template <int W>
struct Elementary<double, W> {
  typedef Lanes<double, W> L;
  typedef typename L::V V;
  static V Exp(V x) {
    return L::Map(x, [](double v) { return __builtin_exp(v); });
  }
  static V Erf(V x) {
    return L::Map(x, [](double v) { return __builtin_erf(v); });
  }
  static V Tanh(V x) {
    return L::Map(x, [](double v) { return __builtin_tanh(v); });
  }
  static V Log1p(V x) {
    return L::Map(x, [](double v) { return __builtin_log1p(v); });
  }
  static V Expm1(V x) {
    return L::Map(x, [](double v) { return __builtin_expm1(v); });
  }
};

template <int W>
struct Elementary<float, W> {
  typedef Lanes<float, W> L;
  typedef typename L::V V;
  typedef typename L::I I;

  // NaN fails both comparisons and passes.
  static INLINE V Clamp(V x, float low, float high) {
    x = x < low ? L::Fill(low) : x;
    return x > high ? L::Fill(high) : x;
  }

  // Saturates at the ends of the normal range.
  static INLINE V Exp(V x) {
    x = Clamp(x, -87.3f, 88.3f);
    const V shifted = x * 1.44269504088896341f + 12582912.0f;
    const V q = shifted - 12582912.0f;
    const V r = (x - q * 0.693359375f) - q * -2.12194440e-4f;
    V y = 1.6666665459e-1f +
          r * (4.1665795894e-2f + r * (8.3334519073e-3f + r * (1.3981999507e-3f + r * 1.9875691500e-4f)));
    y = 1.0f + (r + r * r * (5.0000001201e-1f + r * y));
    return (V)((I)y + ((I)shifted << 23));
  }

  static INLINE V Erf(V x) {
    x = Clamp(x, -4.0f, 4.0f);
    const V z = x * x;
    V p = -2.10102402082508e-06f + z * (2.77068142495902e-08f + z * -2.72614225801306e-10f);
    p = -2.95459980854025e-03f + z * (-7.34990630326855e-04f + z * (-5.69250639462346e-05f + z * p));
    p = x * (-1.60960333262415e-02f + z * p);
    V q = -2.13374055278905e-04f + z * -1.45660718464996e-05f;
    q = -1.42647390514189e-02f + z * (-7.37332916720468e-03f + z * (-1.68282697438203e-03f + z * q));
    return p / q;
  }

  static INLINE V Tanh(V x) {
    x = Clamp(x, -7.90531110763549805f, 7.90531110763549805f);
    const V z = x * x;
    V p = -8.60467152213735e-11f + z * (2.00018790482477e-13f + z * -2.76076847742355e-16f);
    p = 6.37261928875436e-04f + z * (1.48572235717979e-05f + z * (5.12229709037114e-08f + z * p));
    p = x * (4.89352455891786e-03f + z * p);
    const V q =
        4.89352518554385e-03f + z * (2.26843463243900e-03f + z * (1.18534705686654e-04f + z * 1.19825839466702e-06f));
    return p / q;
  }

  static V Log1p(V x) {
    return L::Map(x, [](float v) { return __builtin_log1pf(v); });
  }
  static V Expm1(V x) {
    return L::Map(x, [](float v) { return __builtin_expm1f(v); });
  }
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_LANES_H_

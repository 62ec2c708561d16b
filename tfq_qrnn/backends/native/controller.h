// The controller on a block of W samples: dense layers, forward and backward.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_CONTROLLER_H_
#define TFQ_QRNN_BACKENDS_NATIVE_CONTROLLER_H_

#include <cstdint>

#include "arena.h"
#include "isa.h"
#include "kernels.h"
#include "lanes.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
struct Activations {
  typedef Lanes<T, W> L;
  typedef Elementary<T, W> E;
  typedef typename L::V V;

  // TensorFlow's gelu rounds 0.044715 and sqrt(2), or sqrt(1/2), to float32 in float64 too. So does this: a layer gives
  // the same whether this or TensorFlow computes it.
#ifdef TFQ_QRNN_GELU_OF_SQRT_HALF
  static constexpr T kSqrtHalf = T(0.70710678118654752440f);
#else
  static constexpr T kSqrtHalf = T(1) / T(1.41421356237309504880f);
#endif
  static constexpr T kGaussian = T(0.56418958354775628695) * kSqrtHalf;  // 1/sqrt(pi) comes with erf's slope
  static constexpr T kTanhScale = T(0.79788456080286535588);  // sqrt(2/pi)
  static constexpr T kCubic = T(0.044715f);
  static constexpr T kSeluScale = T(1.0507009873554804934), kSeluAlpha = T(1.6732632423543772848);

  static INLINE V Sigmoid(V x) { return T(1) / (T(1) + E::Exp(-x)); }
  static INLINE V Positive(V x) { return x < 0 ? V{} : x; }  // NaN passes
  static INLINE V Negative(V x) { return x > 0 ? V{} : x; }
  static INLINE V NormalCdf(V x) { return T(0.5) * (T(1) + E::Erf(x * kSqrtHalf)); }
  static INLINE V CubicTanh(V x) { return E::Tanh(kTanhScale * (x + kCubic * x * x * x)); }

  template <class F>
  static INLINE void Each(const V* x, V* y, int64_t size, F f) {
    for (int64_t k = 0; k < size; k++) y[k] = f(x[k]);
  }

  // y = activation(x); `size` is that of x.
  static void Apply(Activation activation, const V* x, V* y, int64_t size) {
    switch (activation) {
      case Activation::kLinear: return Each(x, y, size, [](V v) INLINE_LAMBDA { return v; });
      case Activation::kRelu: return Each(x, y, size, Positive);
      case Activation::kTanh: return Each(x, y, size, [](V v) INLINE_LAMBDA { return E::Tanh(v); });
      case Activation::kSigmoid: return Each(x, y, size, Sigmoid);
      case Activation::kGelu: return Each(x, y, size, [](V v) INLINE_LAMBDA { return v * NormalCdf(v); });
      case Activation::kGeluTanh:
        return Each(x, y, size, [](V v) INLINE_LAMBDA { return T(0.5) * v * (T(1) + CubicTanh(v)); });
      case Activation::kSilu: return Each(x, y, size, [](V v) INLINE_LAMBDA { return v * Sigmoid(v); });
      case Activation::kElu:
        return Each(x, y, size, [](V v) INLINE_LAMBDA { return v > 0 ? v : E::Expm1(Negative(v)); });
      case Activation::kSelu:
        return Each(x, y, size,
                    [](V v) INLINE_LAMBDA { return kSeluScale * (v > 0 ? v : kSeluAlpha * E::Expm1(Negative(v))); });
      case Activation::kSoftplus:
        return Each(x, y, size, [](V v) INLINE_LAMBDA { return Positive(v) + E::Log1p(E::Exp(-L::Abs(v))); });
      case Activation::kGlu:
        for (int64_t k = 0; k < size / 2; k++) y[k] = x[k] * Sigmoid(x[size / 2 + k]);
    }
  }

  // The gradient in x from that in y, which it may overwrite except for kGlu.
  static void Differentiate(Activation activation, const V* x, const V* dy, V* dx, int64_t size) {
    const auto each = [&](auto slope) INLINE_LAMBDA {
      for (int64_t k = 0; k < size; k++) dx[k] = dy[k] * slope(x[k]);
    };
    switch (activation) {
      case Activation::kLinear: return Each(dy, dx, size, [](V v) INLINE_LAMBDA { return v; });
      case Activation::kRelu: return each([](V v) INLINE_LAMBDA { return v > 0 ? L::Fill(1) : V{}; });
      case Activation::kTanh:
        return each([](V v) INLINE_LAMBDA {
          const V t = E::Tanh(v);
          return T(1) - t * t;
        });
      case Activation::kSigmoid:
        return each([](V v) INLINE_LAMBDA {
          const V s = Sigmoid(v);
          return s * (T(1) - s);
        });
      case Activation::kGelu:
        return each([](V v) INLINE_LAMBDA { return NormalCdf(v) + v * kGaussian * E::Exp(-(v * kSqrtHalf) * (v * kSqrtHalf)); });
      case Activation::kGeluTanh:
        return each([](V v) INLINE_LAMBDA {
          const V t = CubicTanh(v);
          return T(0.5) * (T(1) + t) + T(0.5) * v * (T(1) - t * t) * kTanhScale * (T(1) + 3 * kCubic * v * v);
        });
      case Activation::kSilu:
        return each([](V v) INLINE_LAMBDA {
          const V s = Sigmoid(v);
          return s * (T(1) + v * (T(1) - s));
        });
      case Activation::kElu: return each([](V v) INLINE_LAMBDA { return v > 0 ? L::Fill(1) : E::Exp(Negative(v)); });
      case Activation::kSelu:
        return each([](V v)
                        INLINE_LAMBDA { return kSeluScale * (v < 0 ? kSeluAlpha * E::Exp(Negative(v)) : L::Fill(1)); });
      case Activation::kSoftplus: return each(Sigmoid);
      case Activation::kGlu:
        for (int64_t k = 0; k < size / 2; k++) {
          const V s = Sigmoid(x[size / 2 + k]);
          dx[k] = dy[k] * s;
          dx[size / 2 + k] = dy[k] * x[k] * s * (T(1) - s);
        }
    }
  }
};

template <class T, int W>
class ControllerBlock {
 public:
  typedef Lanes<T, W> L;
  typedef typename L::V V;

  ControllerBlock(const Controller<T>& controller, int64_t n_readouts, int64_t width, Arena* arena, bool backward)
      : c_(controller), n_readouts_(n_readouts), width_(width) {
    if (c_.n_layers == 0) return;
    int64_t total = 0, widest = 0;
    for (int64_t l = 0; l < c_.n_layers; l++) {
      total += c_.layers[l].rows + c_.layers[l].columns;
      widest = c_.layers[l].columns > widest ? c_.layers[l].columns : widest;
      widest = c_.layers[l].rows > widest ? c_.layers[l].rows : widest;
    }
    dropout_ = arena->Take<V>(n_readouts);
    hidden_ = arena->Take<V>(total);
    if (backward) {
      gradient_ = arena->Take<V>(2 * widest);
      widest_ = widest;
      n_weights_ = WeightsSize(c_);
      weights_gradient_ = arena->Take<V>(n_weights_);
    }
  }

  void ZeroGradients() {
    for (int64_t i = 0; i < n_weights_; i++) weights_gradient_[i] = V{};
  }

  // Lanes added up: `(n_weights)`.
  void StoreGradients(T* gradient) const {
    for (int64_t i = 0; i < n_weights_; i++) {
      double sum = 0;
      for (int lane = 0; lane < W; lane++) sum += weights_gradient_[i][lane];
      gradient[i] = static_cast<T>(sum);
    }
  }

  void LoadDropout(int64_t first, int64_t samples) {
    if (c_.n_layers == 0 || c_.dropout == nullptr) return;
    for (int64_t k = 0; k < n_readouts_; k++) {
      dropout_[k] = V{};
      for (int64_t s = 0; s < samples; s++) dropout_[k][s] = c_.dropout[(first + s) * n_readouts_ + k];
    }
  }

  // hidden_ holds, layer by layer, what goes in and what comes out before the activation.
  void Angles(const V* inputs, const V* readouts, V* angles) {
    if (c_.n_layers == 0) {
      for (int64_t k = 0; k < width_; k++) angles[k] = inputs[k];
      return;
    }
    V* in = hidden_;
    for (int64_t k = 0; k < n_readouts_; k++) in[k] = c_.dropout == nullptr ? readouts[k] : readouts[k] * dropout_[k];
    V* out = nullptr;
    for (int64_t l = 0; l < c_.n_layers; l++) {
      const auto& layer = c_.layers[l];
      out = in + layer.rows;
      for (int64_t k = 0; k < layer.columns; k++) {
        out[k] = l == 0 ? inputs[k] : layer.bias == nullptr ? V{} : L::Fill(layer.bias[k]);
      }
      Multiply(layer, in, out);
      in = out + layer.columns;
      if (l + 1 < c_.n_layers) Activations<T, W>::Apply(c_.activation, out, in, layer.columns);
    }
    const int64_t n = c_.layers[c_.n_layers - 1].columns;
    for (int64_t k = 0; k < n; k++) angles[k] = c_.scale[c_.scale_size == 1 ? 0 : k] * out[k];
    for (int64_t k = 0; k < c_.n_trained; k++) angles[n + k] = L::Fill(c_.trained[k]);
  }

  // After Angles with the same arguments. Adds to the weights' gradients.
  void Backward(const V* angles_gradient, V* inputs_gradient, V* readouts_gradient) {
    if (c_.n_layers == 0) {
      for (int64_t k = 0; k < width_; k++) inputs_gradient[k] = angles_gradient[k];
      for (int64_t k = 0; k < n_readouts_; k++) readouts_gradient[k] = V{};
      return;
    }
    int64_t n_kernels = 0, n_biases = 0;
    V* end = hidden_;
    for (int64_t l = 0; l < c_.n_layers; l++) {
      n_kernels += c_.layers[l].rows * c_.layers[l].columns;
      if (c_.layers[l].bias != nullptr) n_biases += c_.layers[l].columns;
      end += c_.layers[l].rows + c_.layers[l].columns;
    }
    V* kernel_gradient = weights_gradient_ + n_kernels;
    V* bias_gradient = kernel_gradient + n_biases;
    V* scale_gradient = bias_gradient;
    V* trained_gradient = scale_gradient + c_.scale_size;
    V *dout = gradient_, *din = gradient_ + widest_;
    const int64_t n = c_.layers[c_.n_layers - 1].columns;
    const V* out = end - n;
    for (int64_t k = 0; k < n; k++) {
      const int64_t s = c_.scale_size == 1 ? 0 : k;
      scale_gradient[s] += angles_gradient[k] * out[k];
      dout[k] = c_.scale[s] * angles_gradient[k];
    }
    for (int64_t k = 0; k < c_.n_trained; k++) trained_gradient[k] += angles_gradient[n + k];
    for (int64_t l = c_.n_layers - 1; l >= 0; l--) {
      const auto& layer = c_.layers[l];
      const V* in = out - layer.rows;
      kernel_gradient -= layer.rows * layer.columns;
      for (int64_t j = 0; j < layer.rows; j++) {
        for (int64_t k = 0; k < layer.columns; k++) kernel_gradient[j * layer.columns + k] += in[j] * dout[k];
      }
      if (layer.bias != nullptr) {
        bias_gradient -= layer.columns;
        for (int64_t k = 0; k < layer.columns; k++) bias_gradient[k] += dout[k];
      }
      if (l == 0) {
        for (int64_t k = 0; k < width_; k++) inputs_gradient[k] = dout[k];
        MultiplyTransposed(layer, dout, readouts_gradient);
        for (int64_t k = 0; k < n_readouts_ && c_.dropout != nullptr; k++) readouts_gradient[k] *= dropout_[k];
      } else {
        MultiplyTransposed(layer, dout, din);
        const int64_t columns = c_.layers[l - 1].columns;
        out = in - columns;
        Activations<T, W>::Differentiate(c_.activation, out, din, dout, columns);
      }
    }
  }

 private:
  // Outputs in registers, a few at a time.
  static void Multiply(const typename Controller<T>::Layer& layer, const V* in, V* out) {
    constexpr int kGroup = 8;
    int64_t k = 0;
    for (; k + kGroup <= layer.columns; k += kGroup) {
      V sums[kGroup];
      for (int g = 0; g < kGroup; g++) sums[g] = out[k + g];
      for (int64_t j = 0; j < layer.rows; j++) {
        const T* kernel = layer.kernel + j * layer.columns + k;  // not before: without rows there is no kernel
        for (int g = 0; g < kGroup; g++) sums[g] += in[j] * kernel[g];
      }
      for (int g = 0; g < kGroup; g++) out[k + g] = sums[g];
    }
    for (; k < layer.columns; k++) {
      for (int64_t j = 0; j < layer.rows; j++) out[k] += in[j] * layer.kernel[j * layer.columns + k];
    }
  }

  static void MultiplyTransposed(const typename Controller<T>::Layer& layer, const V* dout, V* din) {
    constexpr int kGroup = 8;
    int64_t j = 0;
    for (; j + kGroup <= layer.rows; j += kGroup) {
      V sums[kGroup] = {};
      const T* kernel = layer.kernel + j * layer.columns;
      for (int64_t k = 0; k < layer.columns; k++) {
        for (int g = 0; g < kGroup; g++) sums[g] += dout[k] * kernel[g * layer.columns + k];
      }
      for (int g = 0; g < kGroup; g++) din[j + g] = sums[g];
    }
    for (; j < layer.rows; j++) {
      V sum = {};
      for (int64_t k = 0; k < layer.columns; k++) sum += dout[k] * layer.kernel[j * layer.columns + k];
      din[j] = sum;
    }
  }

  const Controller<T>& c_;
  const int64_t n_readouts_, width_;
  int64_t n_weights_ = 0, widest_ = 0;
  V *dropout_ = nullptr, *hidden_ = nullptr, *gradient_ = nullptr, *weights_gradient_ = nullptr;
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_CONTROLLER_H_

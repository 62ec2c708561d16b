// Runs the native kernels without TensorFlow, with arrays of exactly the sizes that they may touch.
#ifndef TFQ_QRNN_TESTS_NATIVE_RUN_H_
#define TFQ_QRNN_TESTS_NATIVE_RUN_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernels.h"
#include "program.h"

namespace tfq_qrnn {

template <class T>
struct Numbers {
  std::mt19937 engine{0};
  std::normal_distribution<double> normal;

  std::vector<T> operator()(int64_t size) {
    std::vector<T> values(size);
    for (T& value : values) value = static_cast<T>(normal(engine));
    return values;
  }
};

// One aligned workspace per task, of the exact size: any access beyond it is an error.
struct Workspace {
  explicit Workspace(size_t bytes) : start(static_cast<char*>(std::aligned_alloc(64, bytes))) {}
  ~Workspace() { std::free(start); }
  Workspace(const Workspace&) = delete;
  char* start;
};

template <class F>
void InThreads(int64_t tasks, int64_t blocks, size_t bytes, F work) {
  const auto run = [=](int64_t task) {
    Workspace workspace(bytes);
    work(task, blocks * task / tasks, blocks * (task + 1) / tasks, workspace.start);
  };
  if (tasks == 1) return run(0);
  std::vector<std::thread> threads;
  for (int64_t task = 0; task < tasks; task++) threads.emplace_back(run, task);
  for (std::thread& thread : threads) thread.join();
}

// How a program is run: a sequence of random numbers, forward and back.
template <class T>
struct Case {
  int64_t timesteps, batch;
  Activation activation;
  int64_t n_layers;  // of the controller; 0: the inputs are the angles
  bool masked;       // with a mask and with dropout
  T poison;          // the very first input
  const Parallel* parallel;
};

// The greatest difference between the memory that the last sample had and the one found again by going back.
template <class T>
double Run(const Program<T>& program, const Kernels<T>& kernels, const Case<T>& c) {
  Numbers<T> numbers;
  const int64_t batch = c.batch, n_readouts = program.n_observables, memory = int64_t{2} << program.n_qubits;
  const int64_t n_trained = c.n_layers > 0 && program.n_angles > 1 ? 1 : 0, hidden = 6;
  const int64_t n_controlled = program.n_angles - n_trained;
  const int64_t halved = c.activation == Activation::kGlu ? hidden / 2 : hidden;
  std::vector<std::vector<T>> kernel_values;
  std::vector<typename Controller<T>::Layer> layers;
  const std::vector<T> bias = numbers(hidden + n_controlled);
  for (int64_t l = 0; l < c.n_layers; l++) {
    const int64_t rows = l == 0 ? n_readouts : halved, columns = l + 1 < c.n_layers ? hidden : n_controlled;
    kernel_values.push_back(numbers(rows * columns));
    layers.push_back({nullptr, l == 0 ? nullptr : bias.data(), rows, columns});
  }
  for (int64_t l = 0; l < c.n_layers; l++) layers[l].kernel = kernel_values[l].data();
  const std::vector<T> scale = numbers(n_controlled), trained = numbers(n_trained);
  const std::vector<T> dropout = numbers(batch * n_readouts);
  const int64_t width = c.n_layers == 0 ? program.n_angles : layers[0].columns;
  std::vector<T> inputs = numbers(c.timesteps * batch * width);
  if (!inputs.empty()) inputs[0] = c.poison;
  std::unique_ptr<bool[]> mask(new bool[c.timesteps * batch + 1]);
  for (int64_t i = 0; i < c.timesteps * batch; i++) mask[i] = i % 3 != 1;
  const std::vector<T> first_readouts = numbers(batch * n_readouts), first_memory = numbers(batch * memory);
  Sequence<T> s;
  s.program = &program;
  s.parallel = c.parallel;
  s.controller = {layers.data(),
                  c.n_layers,
                  c.activation,
                  scale.data(),
                  n_controlled == 1 ? 1 : n_controlled,
                  trained.data(),
                  n_trained,
                  c.masked ? dropout.data() : nullptr};
  s.timesteps = c.timesteps;
  s.batch = batch;
  s.width = width;
  s.inputs = inputs.data();
  s.mask = c.masked ? mask.get() : nullptr;
  s.first_readouts = first_readouts.data();
  const int64_t blocks = (batch + kernels.lanes - 1) / kernels.lanes, tasks = blocks < 3 ? blocks : 3;
  std::vector<T> readouts(c.timesteps * batch * n_readouts), last(batch * n_readouts), last_memory(batch * memory);
  const SequenceForward<T> forward = {first_memory.data(), readouts.data(), last.data(), last_memory.data()};
  InThreads(tasks, blocks, kernels.workspace(s, false), [&](int64_t, int64_t begin, int64_t end, char* workspace) {
    kernels.forward(s, forward, begin, end, workspace);
  });
  const std::vector<T> d_readouts = numbers(readouts.size()), d_last = numbers(last.size());
  const std::vector<T> d_memory = numbers(last_memory.size());
  std::vector<T> d_inputs(inputs.size()), d_first(last.size()), undone(last_memory.size()),
      d_first_memory(undone.size());
  std::vector<T> d_weights(tasks * WeightsSize(s.controller));
  const SequenceBackward<T> backward = {readouts.data(),       last_memory.data(), d_readouts.data(), d_last.data(),
                                        d_memory.data(),       d_inputs.data(),    d_first.data(),    undone.data(),
                                        d_first_memory.data(), d_weights.data()};
  InThreads(tasks, blocks, kernels.workspace(s, true), [&](int64_t task, int64_t begin, int64_t end, char* workspace) {
    kernels.backward(s, backward, task, begin, end, workspace);
  });
  double worst = 0;
  for (int64_t i = (batch - 1) * memory; i < batch * memory; i++) {
    const double difference = std::abs(static_cast<double>(undone[i]) - first_memory[i]);
    worst = difference <= worst ? worst : difference;  // NaN stays
  }
  return worst;
}

}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_TESTS_NATIVE_RUN_H_

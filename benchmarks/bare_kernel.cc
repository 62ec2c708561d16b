// The quantum part alone, with nothing around it: what a training step is held against.
//
// T steps on n qubits, depth 2: RY and RZ on every qubit, each sample with angles of its own, then a ring of CNOTs; after
// each step X, Y and Z of every qubit. Backward, the gates are undone on the state and on its adjoint, readouts' gradients
// come in, angles' gradients come out. The angles are given: no controller, no framework.
//
//   g++ -std=c++17 -O3 -march=native -ffast-math bare_kernel.cc -o bare_kernel -lpthread && ./bare_kernel 8 28 32 2
//
// prints the milliseconds of forward and backward of a batch of 32, the best of seven, on two threads. Eight samples lie
// side by side in the innermost dimension, so that each gate is vectorised whatever its qubit.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#ifndef LANES
#define LANES 8
#endif
typedef float vec __attribute__((vector_size(LANES * 4)));
static const int DEPTH = 2;
static int n, T, B;

static vec vcos(vec a) { for (int i = 0; i < LANES; i++) a[i] = cosf(a[i]); return a; }
static vec vsin(vec a) { for (int i = 0; i < LANES; i++) a[i] = sinf(a[i]); return a; }

// RZ(p) RY(t) as [[a, -conj(b)], [b, conj(a)]]
struct Gate { vec ar, ai, br, bi; };
static Gate gate(vec t, vec p) {
  vec c = vcos(t / 2), s = vsin(t / 2), cp = vcos(p / 2), sp = vsin(p / 2);
  return {c * cp, -c * sp, s * cp, s * sp};
}
template <class F> static void pairs(int q, F f) {
  size_t stride = size_t(1) << (n - 1 - q), size = size_t(1) << n;
  for (size_t block = 0; block < size; block += 2 * stride)
    for (size_t k = block; k < block + stride; k++) f(k, k + stride);
}
static void apply(vec *__restrict re, vec *__restrict im, int q, Gate g) {
  pairs(q, [=](size_t i, size_t j) {
    vec xr = re[i], xi = im[i], yr = re[j], yi = im[j];
    re[i] = g.ar * xr - g.ai * xi - g.br * yr - g.bi * yi;
    im[i] = g.ar * xi + g.ai * xr - g.br * yi + g.bi * yr;
    re[j] = g.br * xr - g.bi * xi + g.ar * yr + g.ai * yi;
    im[j] = g.br * xi + g.bi * xr + g.ar * yi - g.ai * yr;
  });
}
static void cnot(vec *re, vec *im, int control, int target) {
  size_t c = size_t(1) << (n - 1 - control);
  pairs(target, [=](size_t i, size_t j) { if (i & c) { std::swap(re[i], re[j]); std::swap(im[i], im[j]); } });
}
static void expectations(const vec *re, const vec *im, vec *z) {
  for (int q = 0; q < n; q++) {
    vec x = {}, y = {}, d = {};
    pairs(q, [&](size_t i, size_t j) {
      x += re[i] * re[j] + im[i] * im[j];
      y += re[i] * im[j] - im[i] * re[j];
      d += re[i] * re[i] + im[i] * im[i] - re[j] * re[j] - im[j] * im[j];
    });
    z[3 * q] = 2 * x; z[3 * q + 1] = 2 * y; z[3 * q + 2] = d;
  }
}
static void add_observables(const vec *re, const vec *im, vec *lr, vec *li, const vec *dz) {
  for (int q = 0; q < n; q++) {
    vec x = dz[3 * q], y = dz[3 * q + 1], d = dz[3 * q + 2];
    pairs(q, [=](size_t i, size_t j) {
      lr[i] += d * re[i] + x * re[j] + y * im[j]; li[i] += d * im[i] + x * im[j] - y * re[j];
      lr[j] += x * re[i] - y * im[i] - d * re[j]; li[j] += x * im[i] + y * re[i] - d * im[j];
    });
  }
}
static void undo(vec *__restrict re, vec *__restrict im, vec *__restrict lr, vec *__restrict li, int q, Gate g, vec &dt, vec &dp) {
  vec gt = {}, gp = {};
  pairs(q, [&](size_t i, size_t j) {
    vec xr = re[i], xi = im[i], yr = re[j], yi = im[j], ur = lr[i], ui = li[i], wr = lr[j], wi = li[j];
    gp += (ur * xi - ui * xr) - (wr * yi - wi * yr);
    re[i] = g.ar * xr + g.ai * xi + g.br * yr + g.bi * yi; im[i] = g.ar * xi - g.ai * xr + g.br * yi - g.bi * yr;
    re[j] = -g.br * xr + g.bi * xi + g.ar * yr - g.ai * yi; im[j] = -g.br * xi - g.bi * xr + g.ar * yi + g.ai * yr;
    lr[i] = g.ar * ur + g.ai * ui + g.br * wr + g.bi * wi; li[i] = g.ar * ui - g.ai * ur + g.br * wi - g.bi * wr;
    lr[j] = -g.br * ur + g.bi * ui + g.ar * wr - g.ai * wi; li[j] = -g.br * ui - g.bi * ur + g.ar * wi + g.ai * wr;
    gt += lr[j] * re[i] + li[j] * im[i] - lr[i] * re[j] - li[i] * im[j];
  });
  dt = gt * 0.5f; dp = gp * 0.5f;
}
int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "usage: bare_kernel qubits timesteps batch [threads]\n"); return 2; }
  n = atoi(argv[1]); T = atoi(argv[2]); B = atoi(argv[3]);
  int threads = argc > 4 ? atoi(argv[4]) : 2, blocks = (B + LANES - 1) / LANES, P = 2 * n * DEPTH;
  size_t size = size_t(1) << n;
  std::vector<vec> angles(size_t(blocks) * T * P);
  for (auto &v : angles) for (int i = 0; i < LANES; i++) v[i] = 0.01f * (rand() % 100);
  auto work = [&](int begin, int end, bool backward) {
    std::vector<vec> memory(4 * size), z(3 * n), dz(3 * n), grad(P);
    vec *re = memory.data(), *im = re + size, *lr = im + size, *li = lr + size;
    for (int b = begin; b < end; b++) {
      memset(memory.data(), 0, 4 * size * sizeof(vec));
      re[0] = vec{} + 1.f;
      for (int t = 0; t < T; t++) {
        const vec *p = &angles[(size_t(b) * T + t) * P];
        for (int l = 0; l < DEPTH; l++, p += 2 * n) {
          for (int q = 0; q < n; q++) apply(re, im, q, gate(p[q], p[n + q]));
          for (int q = 0; q < n; q++) cnot(re, im, q, (q + 1) % n);
        }
        expectations(re, im, z.data());
      }
      for (int t = T - 1; backward && t >= 0; t--) {
        for (auto &v : dz) v = vec{} + 0.1f;
        add_observables(re, im, lr, li, dz.data());
        for (int l = DEPTH - 1; l >= 0; l--) {
          const vec *p = &angles[(size_t(b) * T + t) * P + l * 2 * n];
          for (int q = n - 1; q >= 0; q--) { cnot(re, im, q, (q + 1) % n); cnot(lr, li, q, (q + 1) % n); }
          for (int q = n - 1; q >= 0; q--) undo(re, im, lr, li, q, gate(p[q], p[n + q]), grad[q], grad[n + q]);
        }
      }
      if (backward && std::fabs(re[0][0] - 1.f) > 1e-3f) { fprintf(stderr, "did not return to |0...0>\n"); exit(1); }
      if (backward && grad[0][0] == 12345.f) puts("");  // keeps the gradient alive
    }
  };
  for (int backward = 0; backward < 2; backward++) {
    double best = 1e9;
    for (int run = 0; run < 7; run++) {
      auto start = std::chrono::steady_clock::now();
      std::vector<std::thread> pool;
      for (int i = 0; i < threads; i++) pool.emplace_back(work, blocks * i / threads, blocks * (i + 1) / threads, bool(backward));
      for (auto &t : pool) t.join();
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    if (backward) printf("%.4f\n", best * 1e3);
  }
}

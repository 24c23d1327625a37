// What the CUDA C of a kernel takes for granted, in terms of the CPU. There are no atomics, on purpose.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other
#define __constant__ static const

struct dim3_t { unsigned int x, y, z; };
static dim3_t threadIdx, blockIdx, blockDim, gridDim;

template <class T> static inline T max(T a, T b) { return b > a ? b : a; }
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
static inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

static inline float half_to_float(unsigned short h) {
  unsigned int sign = (unsigned int)(h >> 15) << 31, exponent = (h >> 10) & 31, fraction = h & 1023;
  float value;
  if (exponent == 31) {
    unsigned int bits = sign | 0x7f800000u | (fraction << 13);
    memcpy(&value, &bits, 4);
    return value;
  }
  value = exponent ? ldexpf(1024.0f + fraction, (int)exponent - 25) : ldexpf((float)fraction, -24);
  return sign ? -value : value;
}

static inline unsigned short float_to_half(float f) {
  unsigned int bits;
  memcpy(&bits, &f, 4);
  unsigned short sign = (bits >> 16) & 0x8000;
  if (f != f) return sign | 0x7e00;
  float size = fabsf(f);
  if (size >= 65520.0f) return sign | 0x7c00;
  int exponent;
  frexpf(size, &exponent);  // size = m 2^exponent with m in [1/2, 1)
  if (exponent < -13 || size == 0) exponent = -13;  // below are the subnormal ones, evenly spaced
  long steps = lrintf(ldexpf(size, 11 - exponent));  // to nearest, ties to even
  return sign | (unsigned short)(steps + ((exponent + 13) << 10));
}

struct float16 {
  unsigned short bits;
  float16() {}
  float16(float value) : bits(float_to_half(value)) {}
  operator float() const { return half_to_float(bits); }
};

// The threads of a block as coroutines, which change at a barrier.
static const int STACK = 1 << 16, MOST = 1024;
static ucontext_t emulated_main, emulated_threads[MOST];
static char* emulated_stacks;
static int emulated_current = -1, emulated_done[MOST];
static void (*emulated_body)(void**);
static void** emulated_args;

static void __syncthreads() {
  if (emulated_current >= 0) swapcontext(&emulated_threads[emulated_current], &emulated_main);
}

static void emulated_start() {
  emulated_body(emulated_args);
  emulated_done[emulated_current] = 1;
  swapcontext(&emulated_threads[emulated_current], &emulated_main);
}

static void emulated_place(int thread) {
  emulated_current = thread;
  threadIdx.x = thread % blockDim.x;
  threadIdx.y = thread / blockDim.x % blockDim.y;
  threadIdx.z = thread / blockDim.x / blockDim.y;
}

static const char* emulated_block(int count, int order) {
  if (!emulated_stacks) emulated_stacks = (char*)malloc((size_t)STACK * MOST);
  int turns[MOST], alive = count;
  for (int i = 0; i < count; ++i) {
    turns[i] = order == 1 ? count - 1 - i : i;
    emulated_done[i] = 0;
    getcontext(&emulated_threads[i]);
    emulated_threads[i].uc_stack.ss_sp = emulated_stacks + (size_t)STACK * i;
    emulated_threads[i].uc_stack.ss_size = STACK;
    emulated_threads[i].uc_link = 0;
    makecontext(&emulated_threads[i], emulated_start, 0);
  }
  unsigned long long seed = 88172645463325252ull;
  while (alive) {
    for (int i = count - 1; order == 2 && i > 0; --i) {
      seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
      std::swap(turns[i], turns[seed % (i + 1)]);
    }
    int finished = 0;
    for (int i = 0; i < count; ++i) {
      if (emulated_done[turns[i]]) continue;
      emulated_place(turns[i]);
      swapcontext(&emulated_main, &emulated_threads[turns[i]]);
      finished += emulated_done[turns[i]];
    }
    if (finished && finished != alive) return "some threads ended while others wait at a barrier";
    alive -= finished;
  }
  return 0;
}

static const char* emulated_grid(void (*body)(void**), void** args, dim3_t grid, dim3_t block, int order) {
  emulated_body = body;
  emulated_args = args;
  gridDim = grid;
  blockDim = block;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
        if (order < 0) {
          emulated_place(0);
          emulated_current = -1;
          body(args);
          continue;
        }
        const char* error = emulated_block(block.x * block.y * block.z, order);
        emulated_current = -1;
        if (error) return error;
      }
  return 0;
}

template <class T> static void emulated_describe(char* out) {
  using V = std::remove_cv_t<std::remove_pointer_t<T>>;
  bool constant = std::is_const_v<std::remove_pointer_t<T>>;
  char kind = std::is_same_v<V, bool> ? 'b'
              : std::is_floating_point_v<V> || std::is_class_v<V> ? 'f'
              : std::is_unsigned_v<V> ? 'u' : 'i';
  sprintf(out + strlen(out), "%s%c%d ", !std::is_pointer_v<T> ? "" : constant ? "p" : "P", kind, (int)sizeof(V));
}

template <class... A> static const char* emulated_signature(void (*)(A...)) {
  static char out[16 * (sizeof...(A) + 1)];
  out[0] = 0;
  (emulated_describe<A>(out), ...);
  return out;
}

template <class... A, size_t... I>
static void emulated_apply(void (*f)(A...), void** args, std::index_sequence<I...>) {
  f(*(A*)args[I]...);
}

template <class... A> static void emulated_call(void (*f)(A...), void** args) {
  emulated_apply(f, args, std::index_sequence_for<A...>());
}

#define EMULATED(name)                                                                                    \
  extern "C" const char* emulated_signature_##name() { return emulated_signature(&name); }                \
  extern "C" const char* emulated_launch_##name(void** args, unsigned gx, unsigned gy, unsigned gz,        \
                                                unsigned bx, unsigned by, unsigned bz, int order) {       \
    return emulated_grid([](void** a) { emulated_call(&name, a); }, args, dim3_t{gx, gy, gz},             \
                         dim3_t{bx, by, bz}, order);                                                      \
  }

"""Runs CUDA text without a GPU: compiled as C++, the threads of a launch run one after the other.

Each thread of a block has a stack of its own, and gives way to the next at a barrier. What a shim cannot show: races
between threads, and the speed.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess

import numpy as np

#: Compilers to try.
COMPILERS = ("g++", "clang++", "c++")

#: What CUDA has built in and C++ has not.
HEADER = r"""
#include <ucontext.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

namespace {
struct Dim {
    unsigned int x;
};
Dim blockIdx, blockDim, threadIdx, gridDim;

template <typename V>
V atomicAdd(V* to, V v) {
    const V before = *to;
    *to += v;
    return before;
}

template <typename V>
V atomicOr(V* to, V v) {
    const V before = *to;
    *to |= v;
    return before;
}

int __ffsll(long long v) { return __builtin_ffsll(v); }
int __popcll(unsigned long long v) { return __builtin_popcountll(v); }

const std::size_t STACK = 1 << 16;

struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    bool is_done;
};
std::vector<Thread> threads;
ucontext_t scheduler;
std::function<void()> body;

void run_thread() {
    body();
    threads[threadIdx.x].is_done = true;
}

void __syncthreads() { swapcontext(&threads[threadIdx.x].context, &scheduler); }

// Run each thread of a block up to its next barrier, until all are done.
void run_block() {
    if (threads.size() < blockDim.x) threads.resize(blockDim.x);
    for (unsigned int t = 0; t < blockDim.x; ++t) {
        Thread& thread = threads[t];
        thread.is_done = false;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = &scheduler;
        makecontext(&thread.context, run_thread, 0);
    }
    for (unsigned int n_running = blockDim.x; n_running > 0;) {
        n_running = 0;
        for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) {
            if (threads[threadIdx.x].is_done) continue;
            swapcontext(&scheduler, &threads[threadIdx.x].context);
            n_running += !threads[threadIdx.x].is_done;
        }
    }
}

float half_to_float(unsigned short bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float v;
    if (exponent == 31)
        v = fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    else
        v = exponent ? std::ldexp(1024.f + fraction, exponent - 25) : std::ldexp((float)fraction, -24);
    return bits >> 15 ? -v : v;
}

unsigned short float_to_half(float v) {
    const unsigned short sign = std::signbit(v) ? 0x8000 : 0;
    v = std::fabs(v);
    if (v != v) return sign | 0x7e00;
    if (v >= 65520.f) return sign | 0x7c00;
    int exponent;
    std::frexp(v, &exponent);
    exponent = exponent - 1 < -14 ? -14 : exponent - 1;
    const int fraction = (int)std::nearbyint(std::ldexp(v, 10 - exponent));  // to even
    return sign | (unsigned short)(fraction < 1024 ? fraction : fraction - 1024 + ((exponent + 15) << 10));
}

using std::ceil;
using std::fabs;
using std::floor;
using std::log2;
using std::sqrt;
using std::trunc;
"""

#: What runs a kernel whose arguments come as an array of pointers, as in cuLaunchKernel.
FOOTER = r"""
template <typename... P, std::size_t... K>
void call(void (*kernel)(P...), void** args, std::index_sequence<K...>) {
    kernel(*(P*)args[K]...);
}

template <typename... P>
void run(void (*kernel)(P...), unsigned int grid, unsigned int block, void** args) {
    gridDim.x = grid;
    blockDim.x = block;
    body = [=] { call(kernel, args, std::index_sequence_for<P...>()); };
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) run_block();
}
}  // namespace

extern "C" int launch(const char* name, unsigned int grid, unsigned int block, void** args) {
"""


def find_compiler():
    """Return the path of a C++ compiler, or None."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def compile_library(program, folder):
    """Compile C++ into a shared library and load it; what the folder has already is not compiled again.

    Args:
        program (str): C++.
        folder (pathlib.Path): Where compiled programs are kept, each by its hash.

    Returns:
        ctypes.CDLL: The library.
    """
    folder = folder / hashlib.sha256(program.encode()).hexdigest()[:32]
    library = folder / "library.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source, part = (folder / f"{os.getpid()}.{ending}" for ending in ("cpp", "so"))
        source.write_text(program, encoding="utf-8")
        options = ("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w")
        done = subprocess.run([find_compiler(), *options, str(source), "-o", str(part)], capture_output=True, text=True)
        assert not done.returncode, f"{program}\n{done.stderr}"
        part.replace(library)  # at once, for other processes compile it, too
    return ctypes.CDLL(str(library))


class CudaShim:
    """CUDA text as a shared library.

    Args:
        text (str): The CUDA text.
        kernels (list of str): The instances of its templates, e.g. ``"align_forward<float, int>"``.
        folder (pathlib.Path): Where the library is built.
    """

    def __init__(self, text, kernels, folder):
        cases = "".join(
            f'    if (!std::strcmp(name, "{k}")) return run({k}, grid, block, args), 0;\n' for k in sorted(kernels)
        )
        program = f"{HEADER}{text}{FOOTER}{cases}    return 1;\n}}\n"
        self._library = compile_library(program, folder)

    def get_kernel(self, name, device):
        """Return what launches an instance: a stand-in for ``kernels.cuda_launch.get_kernel``."""

        def launch(grid, block, args, *, shared_mem=0):
            assert shared_mem <= 49152, "more shared memory than a block has by itself"
            holders = [_Pointer(a) if isinstance(a, np.ndarray) and a.ndim else np.array(a) for a in args]
            pointers = (ctypes.c_void_p * len(args))(*[holder.ctypes.data for holder in holders])
            assert not self._library.launch(name.encode(), grid[0], block[0], pointers), f"{name} was not compiled"

        return launch


class _Pointer:
    """The address of an array's data, itself in memory."""

    def __init__(self, array):
        assert array.flags.c_contiguous
        self._address = np.array(array.ctypes.data, np.uintp)
        self.ctypes = self._address.ctypes

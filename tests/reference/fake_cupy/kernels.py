"""CuPy's kernels of CUDA text, compiled as C++; a thread after the other."""

import ctypes
import functools
import pathlib

import numpy as np

from reference import cuda_shim
from reference.fake_cupy.arrays import ndarray, wrap
from reference.fake_cupy.counting import LAUNCH, note
from reference.fake_cupy.graphs import launches

#: Where compiled kernels are kept, by the hash of their text.
FOLDER = pathlib.Path(__file__).parents[3] / ".pytest_cache" / "fake_cupy"

#: C++ type of each kind of NumPy's.
TYPES = {
    "?": "bool", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int",
    "I": "unsigned int", "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long",
    "e": "float16", "f": "float", "d": "double",
}  # fmt: skip

#: What CuPy puts ahead of every kernel, so far as it is used, or would meet a name of ours.
PRELUDE = f"""{cuda_shim.HEADER}
using namespace std;
template <typename V>
struct complex {{
    V x, y;
}};
template <typename V>
V real(complex<V> z) {{ return z.x; }}
template <typename V>
V imag(complex<V> z) {{ return z.y; }}
template <typename V>
V arg(complex<V> z) {{ return atan2(z.y, z.x); }}
template <typename V>
complex<V> conj(complex<V> z) {{ return {{z.x, -z.y}}; }}
struct float16 {{
    unsigned short bits;
    float16() {{}}
    float16(float v) : bits(float_to_half(v)) {{}}
    operator float() const {{ return half_to_float(bits); }}
    float16& operator+=(float v) {{ return *this = *this + v; }}
    float16& operator-=(float v) {{ return *this = *this - v; }}
    float16& operator*=(float v) {{ return *this = *this * v; }}
    float16& operator/=(float v) {{ return *this = *this / v; }}
}};
template <typename V>
struct Raw {{
    V* p;
    long n;
    V& operator[](long i) const {{ return p[i]; }}
    long size() const {{ return n; }}
}};
struct Indexer {{
    long n;
    long size() const {{ return n; }}
}};
template <typename V, typename U>
V max(V a, U b) {{ return a < (V)b ? (V)b : a; }}
template <typename V, typename U>
V min(V a, U b) {{ return (V)b < a ? (V)b : a; }}
"""


@functools.cache
def _compile(program):
    return cuda_shim.compile_library(program, FOLDER)


class _Parameter:
    """A parameter of an elementwise kernel: ``raw T x``, for one."""

    def __init__(self, text):
        *words, self.type, self.name = text.split()
        self.raw = "raw" in words
        self.is_template = len(self.type) == 1


def _parameters(text):
    return [_Parameter(part) for part in text.split(",") if part.strip()]


class _Kernel:
    """What elementwise kernels and reductions share: types and pointers."""

    def __init__(self, in_params, out_params, name, preamble):
        self.inputs, self.outputs = _parameters(in_params), _parameters(out_params)
        self.name, self._preamble = name, preamble

    def _bind(self, parameters, args):
        """Return the dtype of each template type, as CuPy finds it; refuse what is not of its type."""
        types = {}
        for p, a in zip(parameters, args, strict=True):
            if isinstance(a, np.ndarray):
                raise TypeError(f"{self.name}: Unsupported type <class 'numpy.ndarray'> of {p.name}")
            if isinstance(a, ndarray):
                expected = types.setdefault(p.type, a.dtype) if p.is_template else np.dtype(p.type)
                if expected != a.dtype:
                    raise TypeError(f"{self.name}: Type is mismatched. {p.name} must be {expected}, got {a.dtype}")
        for p in parameters:
            if p.is_template and p.type not in types:
                raise KeyError(f"{self.name}: no array tells what {p.type} is")
        return types

    def _dtype(self, p, types):
        return types[p.type] if p.is_template else np.dtype(p.type)

    def _program(self, types, body):
        typedefs = "".join(f"typedef {TYPES[dtype.char]} {name};\n" for name, dtype in sorted(types.items()))
        head = (
            f'{PRELUDE}{typedefs}{self._preamble}\n}}\nextern "C" void kernel(long n, long n_reduced, void** args) {{'
        )
        return _compile(f"{head}\n{body}\n}}\n").kernel

    def _argument(self, k, p, types, is_array):
        """Return what declares the k-th argument ahead of the loop; what is only read cannot be written to."""
        ctype, k = "const " * (p in self.inputs) + TYPES[self._dtype(p, types).char], 2 * k
        if p.raw:
            return f"Raw<{ctype}> {p.name}{{({ctype}*)args[{k}], *(long*)args[{k + 1}]}};\n"
        if not is_array:
            return f"{ctype} {p.name} = *({ctype}*)args[{k}];\n"
        return f"{ctype}* _{p.name} = ({ctype}*)args[{k}];\n"


def _run(kernel, n, n_reduced, holders):
    pointers = (ctypes.c_void_p * len(holders))(*[holder.ctypes.data for holder in holders])
    kernel(ctypes.c_long(n), ctypes.c_long(n_reduced), pointers)


def _holders(arrays):
    """Give each array its pointer, and its size for raw ones: two holders an argument."""
    return [part for a in arrays for part in (a, np.array(a.size, np.int64))]


class ElementwiseKernel(_Kernel):
    """A kernel that runs its operation once for each element."""

    def __init__(
        self, in_params, out_params, operation, name="kernel", reduce_dims=True, preamble="", no_return=False,
        return_tuple=False, loop_prep="", after_loop="", options=(),
    ):  # fmt: skip
        super().__init__(in_params, out_params, name, preamble)
        self._operation, self._loop_prep, self._after_loop = operation, loop_prep, after_loop
        self._return_tuple = return_tuple

    @launches
    def __call__(self, *args, size=None, block_size=-1, stream=None):
        note(LAUNCH, self.name)
        parameters = self.inputs + self.outputs
        given = parameters[: len(args)]
        types = self._bind(given, args)
        shapes = [a.shape for p, a in zip(given, args, strict=True) if isinstance(a, ndarray) and not p.raw]
        if (size is None) == (not shapes):
            raise ValueError(f"{self.name}: size must be given if all arrays are raw, and only then")
        shape = np.broadcast_shapes(*shapes) if size is None else (size,)
        if len(args) == len(self.inputs):
            args = [*args, *(ndarray(shape, self._dtype(p, types)) for p in self.outputs)]
        outputs, arrays, copies, ahead, each = args[len(self.inputs) :], [], [], "", ""
        if any(a.shape != shape for p, a in zip(self.outputs, outputs, strict=True) if not p.raw):
            raise ValueError(f"{self.name}: Out shape is mismatched")
        for k, (p, a) in enumerate(zip(parameters, args, strict=True)):
            is_output, ctype = k >= len(self.inputs), TYPES[self._dtype(p, types).char]
            if isinstance(a, ndarray):
                host = a.host if p.raw or is_output or size is not None else np.broadcast_to(a.host, shape)
            else:
                host = np.array(a, self._dtype(p, types))
            arrays.append(np.ascontiguousarray(host))
            if isinstance(a, ndarray) and (p.raw or is_output) and arrays[-1] is not host:
                copies.append((host, arrays[-1]))
            ahead += self._argument(k, p, types, isinstance(a, ndarray))
            if isinstance(a, ndarray) and not p.raw:
                each += f"{'' if is_output else 'const '}{ctype}& {p.name} = _{p.name}[i];\n"
        body = (
            f"{ahead}Indexer _ind{{n}};\n{self._loop_prep};\n"
            f"for (long i = 0; i < n; ++i) {{\n{each}{{{self._operation};}}\n}}\n{self._after_loop};"
        )
        _run(self._program(types, body), int(np.prod(shape)), 0, _holders(arrays))
        for host, copied in copies:
            host[...] = copied.reshape(host.shape)
        return outputs[0] if len(outputs) == 1 and not self._return_tuple else tuple(outputs)


class ReductionKernel(_Kernel):
    """A kernel that reduces over axes, an output after the other."""

    def __init__(
        self, in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name="reduce_kernel",
        reduce_type=None, reduce_dims=True, preamble="", options=(),
    ):  # fmt: skip
        super().__init__(in_params, out_params, name, preamble)
        self._expressions = map_expr, reduce_expr, post_map_expr, identity
        self._reduce_type = reduce_type

    @launches
    def __call__(self, *args, out=None, axis=None, keepdims=False, stream=None):
        note(LAUNCH, self.name)
        if len(args) > len(self.inputs):
            *args, out = args
        (result,) = self.outputs
        types = self._bind(*(((result, *self.inputs), (out, *args)) if out is not None else (self.inputs, args)))
        pairs = list(zip(self.inputs, args, strict=True))
        shape = np.broadcast_shapes(*[a.shape for p, a in pairs if isinstance(a, ndarray) and not p.raw])
        axes = range(len(shape)) if axis is None else np.atleast_1d(axis) % len(shape)
        kept = [a for a in range(len(shape)) if a not in axes]
        y_shape = [shape[a] for a in kept]
        y = np.empty(y_shape, self._dtype(result, types)) if out is None else out.host.reshape(y_shape).copy()
        arrays, ahead, each = [], "", ""
        for k, (p, a) in enumerate(pairs):
            is_array = isinstance(a, ndarray)
            if not is_array:
                host = np.array(a, self._dtype(p, types))
            else:
                host = a.host if p.raw else np.broadcast_to(a.host, shape).transpose(*kept, *axes)
            arrays.append(np.ascontiguousarray(host))
            ahead += self._argument(k, p, types, is_array)
            if is_array and not p.raw:
                each += f"const {TYPES[self._dtype(p, types).char]}& {p.name} = _{p.name}[i * n_reduced + _j];\n"
        ahead += self._argument(len(arrays), result, types, True)
        n_reduced = int(np.prod([shape[a] for a in axes]))
        _run(self._program(types, self._loops(result, types, ahead, each)), y.size, n_reduced, _holders([*arrays, y]))
        if out is not None:
            out.host[...] = y.reshape(out.shape)
            return out
        return wrap(y.reshape([shape[a] if a in kept else 1 for a in range(len(shape))]) if keepdims else y)

    def _loops(self, result, types, ahead, each):
        map_expr, reduce_expr, post_map_expr, identity = self._expressions
        ctype = TYPES[self._dtype(result, types).char]
        reduce_type = self._reduce_type or ctype
        return (
            f"{ahead}for (long i = 0; i < n; ++i) {{\n{reduce_type} a = ({reduce_type})({identity});\n"
            f"for (long _j = 0; _j < n_reduced; ++_j) {{\n{each}"
            f"{reduce_type} b = ({map_expr});\na = ({reduce_expr});\n}}\n"
            f"{ctype}& {result.name} = _{result.name}[i];\n{post_map_expr};\n}}"
        )


class RawModule:
    """CUDA text, of which instances of templates are launched."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc", name_expressions=None):
        self._code, self._names = code, name_expressions

    def get_function(self, name):
        assert self._names is None or name in self._names
        return RawFunction(name, cuda_shim.CudaShim(self._code, [name], FOLDER).get_kernel(name, 0))


class RawFunction:
    """An instance of a kernel."""

    def __init__(self, name, launch):
        self._name, self._launch = name, launch

    @launches
    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        note(LAUNCH, self._name)
        for a in args:
            if not isinstance(a, ndarray | np.generic):
                raise TypeError(f"{self._name}: Unsupported type {type(a)}")
            if isinstance(a, ndarray) and a.size > 1 and not a.flags.c_contiguous:
                raise ValueError(f"{self._name}: an array with strides {a.strides} reaches a kernel")
        self._launch(grid, block, [a.host if isinstance(a, ndarray) else a for a in args], shared_mem=shared_mem)

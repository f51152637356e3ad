"""The CUDA text compiles for every architecture within bounds, without a GPU; its shim converts halves as IEEE does."""

import ctypes
import importlib.metadata
import re

import numpy as np
import pytest

from chainfpn.functions.kernels import cuda_align, cuda_launch

#: Volta to Hopper; the newest the installed NVRTC knows is added.
ARCHITECTURES = (70, 75, 80, 86, 89, 90)
#: The oldest, the newest, and those between them.
BETWEEN = [70, *(pytest.param(number, marks=pytest.mark.thorough) for number in ARCHITECTURES[1:]), "newest"]

#: Registers of a thread: 64 let half of a multiprocessor's threads run at once.
REGISTERS = {"align_gather": 88}
OTHERS_REGISTERS = 64

#: The same for float64 with 64-bit indices: what a block of 256 threads may have.
DOUBLE_REGISTERS = 192


class Nvrtc:
    """The run-time compiler of the wheel nvidia-cuda-nvrtc-cu12, without CuPy."""

    def __init__(self):
        files = importlib.metadata.files("nvidia-cuda-nvrtc-cu12") or ()
        for file in files:  # libnvrtc loads this one by itself, where the loader finds it
            if "nvrtc-builtins" in file.name and ".alt." not in file.name:
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
        (library,) = (f for f in files if f.name.startswith("libnvrtc.so") or f.name.startswith("nvrtc64"))
        self._library = ctypes.CDLL(str(library.locate()))

    def _call(self, name, *args):
        assert getattr(self._library, name)(*args) == 0, name

    def architectures(self):
        n = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(n))
        found = (ctypes.c_int * n.value)()
        self._call("nvrtcGetSupportedArchs", found)
        return list(found)

    def _compile(self, text, options, names):
        """Compile instances of templates; fail with the compiler's log, else return the program and the log."""
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
        for name in names:
            self._call("nvrtcAddNameExpression", program, name.encode())
        encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = self._library.nvrtcCompileProgram(program, len(options), encoded)
        log = self._read("ProgramLog", program)
        assert status == 0, log.decode()
        assert b"kernels.cu" not in log, log.decode()  # no warning about the text
        return program, log.decode()

    def _read(self, what, program):
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, content)
        return content.raw.rstrip(b"\0")

    def compile(self, text, options, names):
        """Compile instances of templates for a device; return the compiler's log."""
        program, log = self._compile(text, options, names)
        cubin = self._read("CUBIN", program)
        lowered = ctypes.c_char_p()
        for name in names:
            self._call("nvrtcGetLoweredName", program, name.encode(), ctypes.byref(lowered))
            assert lowered.value in cubin, name
        self._call("nvrtcDestroyProgram", ctypes.byref(program))
        assert cubin.startswith(b"\x7fELF")
        return log

    def instructions(self, text, options, name):
        """Compile an instance of a template to PTX."""
        program, _ = self._compile(text, [*options, "--gpu-architecture=compute_75"], [name])
        ptx = self._read("PTX", program).decode()
        self._call("nvrtcDestroyProgram", ctypes.byref(program))
        return ptx


@pytest.fixture(scope="module")
def nvrtc():
    try:
        importlib.metadata.distribution("nvidia-cuda-nvrtc-cu12")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvrtc-cu12 is not installed")
    return Nvrtc()


def resources(nvrtc, architecture, types):
    """Compile all kernels; return of each the registers, the bytes of stack and spills, and those of shared memory."""
    names = [f"{kernel}<{types}>" for kernel in cuda_launch.kernel_names()]
    names = [name for name in names if not name.startswith("nms") or "half16" not in name]
    options = [*cuda_launch.OPTIONS, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]
    log = nvrtc.compile(cuda_launch.source(), options, names)
    report = re.findall(
        r"entry function '_Z\d+(\w+?)I.*?(\d+) bytes stack.*?(\d+) bytes spill stores.*?Used (\d+) registers([^\n]*)",
        log,
        re.S,
    )
    assert len(report) == len(names)
    shared = [re.search(r"(\d+) bytes smem", rest) for *_, rest in report]
    return {
        kernel: (int(registers), int(stack) + int(spills), int(found[1]) if found else 0)
        for (kernel, stack, spills, registers, _), found in zip(report, shared, strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("types", ["float, int", "half16, int", "double, long long"])
@pytest.mark.parametrize("architecture", BETWEEN)
def test_registers_suffice_for_many_threads(nvrtc, architecture, types):
    known = nvrtc.architectures()
    if architecture == "newest":
        architecture = max(known)
    if architecture not in known:
        pytest.skip(f"this NVRTC compiles for {known}")
    x = np.empty(0, {"f": np.float32, "h": np.float16, "d": np.float64}[types[0]])
    for kernel, (registers, local, shared) in resources(nvrtc, architecture, types).items():
        bound = DOUBLE_REGISTERS if "double" in types else REGISTERS.get(kernel, OTHERS_REGISTERS)
        assert registers <= bound, kernel
        assert local == 0, kernel
        given = cuda_align.room_of_patches(x, 4)[0] if kernel in ("align_forward", "align_backward") else 0
        assert shared + given <= cuda_launch.constant("SHARED_BYTES"), kernel


#: Kernels whose threads read neighbours, and what one instruction reads.
READ_TOGETHER = {
    "normalize<float, int>": "ld.global.v4.f32",
    "normalize<half16, int, float>": "ld.global.v4.u16",
    "normalize_backward<float, int>": "ld.global.v4.f32",
    "normalize_backward<half16, int, float>": "ld.global.v4.u16",
    "align_forward<half16, int>": "ld.global.v2.u16",
    "pool_forward<half16, int>": "ld.global.v2.u16",
    "pool_forward<float, int>": "ld.global.v2.f32",
}


@pytest.mark.parametrize("name", READ_TOGETHER)
def test_neighbours_are_read_by_one_instruction(nvrtc, name):
    assert READ_TOGETHER[name] in nvrtc.instructions(cuda_launch.source(), cuda_launch.OPTIONS, name)


#: Kernels whose threads ask for pixels of a window before they look at one, and the instruction that does.
ASKED_AHEAD = {
    "pool_forward<float, int>": "ld.global.v2.f32",
    "pool_forward<half16, int>": "ld.global.v2.u16",
    "ps_pool_forward<half16, int>": "ld.global.u16",
}


@pytest.mark.parametrize("name", ASKED_AHEAD)
def test_pixels_are_asked_for_ahead(nvrtc, name):
    instructions = nvrtc.instructions(cuda_launch.source(), cuda_launch.OPTIONS, name)
    parts = re.split(r"\n\$L|\bbra\b|\bsetp\.\w+\.f32|\bcvt\.f32\.f16", instructions)  # labels, branches, and a look
    in_a_row = [part.count(ASKED_AHEAD[name]) for part in parts]
    assert max(in_a_row) >= cuda_launch.constant("AHEAD") - 1 == 3  # the first may stand ahead of a branch


def test_every_kernel_of_the_text_is_listed():
    linear = [f"{op}_{kind}" for op in ("align", "ps_align", "ps_pool") for kind in ("backward", "forward", "gather")]
    pyramid = [*(f"{what}_level" for what in ("clear", "pack", "unpack")), "normalize", "normalize_backward"]
    others = ["adaptive_max_forward", "nms_masks", "nms_scan", "pool_forward", "scatter_atomic", "scatter_sorted"]
    assert sorted(cuda_launch.kernel_names()) == sorted(linear + pyramid + others)


@pytest.mark.slow
def test_the_shim_reads_and_writes_every_half(cuda_shim):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[~np.isnan(halves)].reshape(1, -1, 1, 1)
    y, argmax = np.empty_like(halves), np.empty(halves.shape, np.int32)
    launch = cuda_shim.get_kernel("adaptive_max_forward<half16, int>", -1)
    one = np.int32(1)
    args = (halves, np.int32(halves.size), one, one, one, one, np.float32(-np.inf), y, argmax)
    launch((4,), (256,), args)
    np.testing.assert_array_equal(y, halves)


def test_the_shim_rounds_to_half_as_numpy(cuda_shim):
    # one RoI pools the mean of two pixels, which is halfway between halves as often as not
    rng = np.random.RandomState(0)
    x = rng.randint(0, 2**15 - 2**10, (1, 1, 2, 40000)).astype(np.uint16).view(np.float16)  # every finite one above 0
    x[0, 0, 0, ::2] = np.nextafter(x[0, 0, 1, ::2], np.float16(0))
    y, image, levels = np.empty((1, 40000, 1, 1), np.float16), np.zeros(1, np.int32), np.array([1, 2, 0, 1], np.float64)
    one, rois = np.int32(1), np.array([[0, 0, 1, 2]], np.float32)
    n_tasks = -(-40000 // cuda_launch.constant("TOGETHER"))
    sizes = (one, np.int32(n_tasks), np.int32(40000), one, one, np.float32(0.5), one, np.int32(2), *[np.float32(1)] * 4)
    sizes = (*sizes, np.int32(0))  # no room for a patch
    launch = cuda_shim.get_kernel("align_forward<half16, int>", -1)
    launch((n_tasks,), (cuda_launch.constant("THREADS"),), (x, levels, one, rois, image, *sizes, y))
    a, b = x[0, 0].astype(np.float32)
    np.testing.assert_array_equal(y.ravel(), ((a + b) / 2).astype(np.float16))

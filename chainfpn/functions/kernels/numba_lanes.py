"""Vectors of ``LANES`` numbers for the compiled CPU kernels, in the processor's registers, whatever their width is.

A loop over neighbouring channels that the compiler makes SIMD keeps its sums in memory, and looks before each run
whether its arrays overlap: four times the time of the same loop over vectors. ``at`` is a place in a flat array.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

#: Numbers of a vector: a register of AVX-512 in float32, two of AVX2, four of NEON.
LANES = 16


class Lanes(types.Type):
    """The type of a vector.

    Args:
        dtype (numba type): Of its numbers.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), LANES))


def _pointer(context, builder, array_type, array, at):
    """Return the address of a vector, and the alignment of its numbers."""
    place = builder.gep(context.make_array(array_type)(context, builder, array).data, [at])
    vector = context.get_value_type(Lanes(array_type.dtype))
    return builder.bitcast(place, vector.as_pointer()), array_type.dtype.bitwidth // 8


def _load(context, builder, array_type, array, at):
    pointer, align = _pointer(context, builder, array_type, array, at)
    return builder.load(pointer, align=align)


def _fill(builder, vector, value):
    """Repeat a number in all lanes."""
    nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    return _shuffle(builder, builder.insert_element(nothing, value, first), nothing, [0] * LANES)


def _shuffle(builder, a, b, places):
    """Take lanes of two vectors, those of the second from ``LANES`` on."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places))


@intrinsic
def load(_, array, at):
    """Return the vector ``array[at:][:LANES]``."""

    def generate(context, builder, signature, args):
        return _load(context, builder, array, *args)

    return Lanes(array.dtype)(array, at), generate


@intrinsic
def store(_, array, at, vector):
    """Set ``array[at:][:LANES]``."""

    def generate(context, builder, signature, args):
        pointer, align = _pointer(context, builder, array, *args[:2])
        builder.store(args[2], pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, at, vector), generate


@intrinsic
def fill(_, number):
    """Return a vector that is ``number`` in all lanes."""

    def generate(context, builder, signature, args):
        return _fill(builder, context.get_value_type(Lanes(number)), args[0])

    return Lanes(number)(number), generate


@intrinsic
def add_scaled(_, total, weight, vector):
    """Return ``total + weight * vector``, in one operation where the processor has it."""

    def generate(context, builder, signature, args):
        weights = _fill(builder, args[0].type, args[1])
        if isinstance(total.dtype, types.Integer):
            return builder.add(args[0], builder.mul(weights, args[2]))
        return builder.fadd(args[0], builder.fmul(weights, args[2], flags=["contract"]), flags=["contract"])

    return total(total, total.dtype, vector), generate


def _windows(n_taps):
    """Return an intrinsic for some neighbouring taps, whose pixels overlap: each is loaded once.

    It returns a tuple of vectors ``sums[i] + weights[first + j * LANES:] * numbers[at + (i + j) * LANES:]``, summed
    over taps j.
    """

    @intrinsic
    def add(_, sums, weights, first, numbers, at):
        def generate(context, builder, signature, args):
            totals, table, first, array, at = args

            def take(array_type, array, at, k):
                return _load(context, builder, array_type, array, builder.add(at, ir.Constant(at.type, k * LANES)))

            pixels = [take(numbers, array, at, k) for k in range(sums.count + n_taps - 1)]
            for tap in range(n_taps):
                weight = take(weights, table, first, tap)
                for i in range(sums.count):
                    totals = _add_product(builder, totals, i, weight, pixels[i + tap])
            return totals

        return sums(sums, weights, first, numbers, at), generate

    return add


#: For three taps, and for two.
add_three, add_two = _windows(3), _windows(2)


@intrinsic
def add_windows(_, sums, weights, numbers, at, step):
    """Return a tuple of vectors ``sums[i] + weights * numbers[at + i * step:][:LANES]``."""

    def generate(context, builder, signature, args):
        totals, vector, array, at, step = args
        for i in range(sums.count):
            totals = _add_product(builder, totals, i, vector, _load(context, builder, numbers, array, at))
            at = builder.add(at, step)
        return totals

    return sums(sums, weights, numbers, at, step), generate


@intrinsic
def add_taps(_, sums, vector, numbers, at, offsets, first):
    """Return a tuple of vectors ``sums[i] + vector * numbers[at + offsets[first + i]:][:LANES]``."""

    def generate(context, builder, signature, args):
        totals, values, array, at, table, first = args
        base = context.make_array(offsets)(context, builder, table).data
        for i in range(sums.count):
            offset = builder.load(builder.gep(base, [builder.add(first, ir.Constant(first.type, i))]))
            pixels = _load(context, builder, numbers, array, builder.add(at, offset))
            totals = _add_product(builder, totals, i, values, pixels)
        return totals

    return sums(sums, vector, numbers, at, offsets, first), generate


def _add_product(builder, totals, i, a, b):
    """Add ``a * b`` to one of several vectors."""
    product = builder.fmul(a, b, flags=["contract"])
    return builder.insert_value(totals, builder.fadd(builder.extract_value(totals, i), product, flags=["contract"]), i)


@intrinsic
def store_first(_, array, at, step, n, vectors):
    """Set ``array[at + i * step:][:LANES]`` to those of a tuple of vectors whose i is below n."""

    def generate(context, builder, signature, args):
        numbers, at, step, n, values = args
        for i in range(vectors.count):
            with builder.if_then(builder.icmp_signed("<", ir.Constant(n.type, i), n), likely=True):
                pointer, align = _pointer(context, builder, array, numbers, at)
                builder.store(builder.extract_value(values, i), pointer, align=align)
            at = builder.add(at, step)
        return context.get_dummy_value()

    return types.void(array, at, step, n, vectors), generate


@intrinsic
def affine(_, vector, centre, scale, shift):
    """Return ``(vector - centre) * scale + shift`` of each lane."""

    def generate(context, builder, signature, args):
        value, *terms = args
        for step, term in zip((builder.fsub, builder.fmul, builder.fadd), terms, strict=True):
            value = step(value, term)
        return value

    return vector(vector, centre, scale, shift), generate


@intrinsic
def is_larger(_, a, b):
    """Return ``a > b`` of each lane: never for a NaN."""

    def generate(context, builder, signature, args):
        compare = builder.fcmp_ordered if isinstance(a.dtype, types.Float) else builder.icmp_signed
        return compare(">", *args)

    return Lanes(types.boolean)(a, b), generate


@intrinsic
def choose(_, is_first, a, b):
    """Return ``a`` in the lanes where ``is_first`` holds, ``b`` in the others."""

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return a(is_first, a, b), generate


@intrinsic
def transpose(_, source, at, step, target, to, to_step):
    """Set ``target[to + j * to_step + i]`` to ``source[at + i * step + j]`` for i and j below ``LANES``."""

    def generate(context, builder, signature, args):
        def line(array_type, array, first, apart, k):
            place = builder.add(first, builder.mul(apart, ir.Constant(apart.type, k)))
            return _pointer(context, builder, array_type, array, place)

        pointers = [line(source, *args[:3], k) for k in range(LANES)]
        lines = [builder.load(pointer, align=align) for pointer, align in pointers]
        half = 1
        while half < LANES:  # exchange the blocks beside the diagonal, from single numbers to quarters
            kept = [j if not j & half else LANES + j - half for j in range(LANES)]
            moved = [j + half if not j & half else LANES + j for j in range(LANES)]
            lines = [
                _shuffle(builder, lines[k & ~half], lines[k | half], moved if k & half else kept) for k in range(LANES)
            ]
            half *= 2
        for k, values in enumerate(lines):
            pointer, align = line(target, *args[3:], k)
            builder.store(values, pointer, align=align)
        return context.get_dummy_value()

    index = types.int64
    return types.void(source, index, index, target, index, index), generate

import collections

import chainer
import numpy as np
import pytest

from chainfpn.datasets import AspectRatioGroupedIterator, ShapesDataset, orientation_groups

GROUPS = [0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 1]


def make(batch_size=2, **options):
    return AspectRatioGroupedIterator(list(range(len(GROUPS))), batch_size, GROUPS, **options)


def test_batches_are_of_one_group_and_every_example_comes_equally_often():
    np.random.seed(0)
    iterator = make(3)
    counts = collections.Counter()
    for _ in range(11 * 20):
        batch = next(iterator)
        assert len(batch) == 3
        assert len({GROUPS[i] for i in batch}) == 1
        counts.update(batch)
    # at most batch_size - 1 examples of a group wait, of which one may have waited for as many rounds
    assert max(counts.values()) - min(counts.values()) <= 3
    assert sum(counts.values()) == 660


def test_one_group_is_an_order_cut_in_batches():
    iterator = AspectRatioGroupedIterator(list("abcde"), 2, shuffle=False)
    assert [next(iterator) for _ in range(6)] == [
        ["a", "b"],
        ["c", "d"],
        ["e", "a"],
        ["b", "c"],
        ["d", "e"],
        ["a", "b"],
    ]


def test_groups_without_shuffling():
    iterator = make(shuffle=False)
    assert [next(iterator) for _ in range(6)] == [[0, 1], [2, 4], [3, 5], [6, 8], [9, 0], [10, 2]]


def test_epochs_are_those_of_chainers_iterator():
    ours = AspectRatioGroupedIterator(list(range(5)), 2)
    theirs = chainer.iterators.SerialIterator(list(range(5)), 2)
    for _ in range(12):
        for name in ("epoch", "is_new_epoch", "epoch_detail", "previous_epoch_detail", "repeat"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), name
        next(ours)
        next(theirs)


def test_orders_are_drawn_from_numpys_generator():
    np.random.seed(1)
    iterator = make()
    first = [next(iterator) for _ in range(30)]
    np.random.seed(1)
    iterator.reset()
    assert [next(iterator) for _ in range(30)] == first
    assert first[:5] != [next(make(shuffle=False)) for _ in range(5)]


@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 17])
def test_what_is_restored_goes_on_as_what_was_saved(n, tmp_path):
    np.random.seed(2)
    saved = make()
    for _ in range(n):
        next(saved)
    chainer.serializers.save_npz(tmp_path / "state.npz", saved)
    state = np.random.get_state()
    expected = [(next(saved), saved.epoch, saved.is_new_epoch, saved.previous_epoch_detail) for _ in range(30)]
    np.random.seed(3)
    restored = make()
    chainer.serializers.load_npz(tmp_path / "state.npz", restored)
    np.random.set_state(state)
    assert restored.epoch_detail == n * 2 / 11
    got = [(next(restored), restored.epoch, restored.is_new_epoch, restored.previous_epoch_detail) for _ in range(30)]
    assert got == expected


@pytest.mark.parametrize(
    ("n", "batch_size", "groups"),
    [(5, 2, [0, 0, 1, 0, 1]), (6, 3, [0, 0, 0, 0, 1, 1]), (6, 2, None), (6, 2, [1, 1, 0, 0, 0, 0])],
)
def test_the_state_of_another_iterator_is_refused(n, batch_size, groups, tmp_path):
    saved = AspectRatioGroupedIterator(list(range(6)), 2, [0, 0, 0, 0, 1, 1], shuffle=False)
    saved._waiting[1, 0] = 4
    chainer.serializers.save_npz(tmp_path / "state.npz", saved)
    other = AspectRatioGroupedIterator(list(range(n)), batch_size, groups)
    message = (
        f"AspectRatioGroupedIterator: the state must be that of .* data and groups, with a batch_size of {batch_size}$"
    )
    with pytest.raises(ValueError, match=message):
        chainer.serializers.load_npz(tmp_path / "state.npz", other)


def test_a_state_that_is_refused_changes_nothing(tmp_path):
    """One place per group could stand for any number of them."""
    np.random.seed(0)
    saved = AspectRatioGroupedIterator(list(range(6)), 1, [0, 0, 0, 0, 1, 1])
    for _ in range(4):
        next(saved)
    chainer.serializers.save_npz(tmp_path / "state.npz", saved)
    other = AspectRatioGroupedIterator(list(range(6)), 4, [0, 0, 0, 0, 1, 1], shuffle=False)
    with pytest.raises(ValueError, match="with a batch_size of 4"):
        chainer.serializers.load_npz(tmp_path / "state.npz", other)
    assert (other.epoch_detail, other.previous_epoch_detail) == (0, None)
    assert next(other) == [0, 1, 2, 3]


def test_shares_of_a_data_set_have_epochs_of_equal_length():
    """Two processes whose examples are of different shapes never wait for each other."""
    shares = [AspectRatioGroupedIterator(list(range(6)), 2, groups) for groups in ([0] * 6, [0, 1, 1, 1, 0, 1])]
    for _ in range(20):
        for share in shares:
            next(share)
        assert shares[0].is_new_epoch == shares[1].is_new_epoch
        assert shares[0].epoch == shares[1].epoch


def test_orientation_groups():
    sizes = {"landscape": (20, 30), "square": (20, 20), "portrait": (30, 20)}
    assert [orientation_groups(ShapesDataset(2, size)).tolist() for size in sizes.values()] == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], 0), "batch_size must be >= 1, got 0"),
        (([], 1), "dataset must have at least one example, got none"),
        (([1, 2], 1, [0]), r"groups must be 2 numbers >= 0, got shape \(1,\)"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=f"AspectRatioGroupedIterator: {message}"):
        AspectRatioGroupedIterator(*arguments)

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from presage.training.pictures import Pictures, behind, picked

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def parts_of(lengths: list[int]) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 255, (n, 2, 2, 3), np.uint8) for i, n in enumerate(lengths)]


@given(LENGTHS, st.data())
def test_they_read_like_the_array_that_they_stand_for(lengths: list[int], data: st.DataObject) -> None:
    parts = parts_of(lengths)
    every, pictures = np.concatenate(parts), Pictures(parts)
    some = st.lists(st.integers(0, len(every) - 1), max_size=6).map(lambda rows: np.array(rows, int))
    order, asked = data.draw(some), data.draw(some)
    assert np.array_equal(pictures[asked], every[asked])
    assert np.array_equal(picked(pictures, order), every[order])
    twice = behind([picked(pictures, order), *parts, pictures])
    whole = np.concatenate([every[order], every, every])
    assert np.array_equal(twice, whole) and twice.shape == whole.shape and twice.nbytes == whole.nbytes
    step = data.draw(st.integers(1, 3))
    assert np.array_equal(twice[1:-1:step], whole[1:-1:step]) and np.array_equal(twice[0], whole[0])
    assert np.array_equal(twice[asked[:, None] + [0, 1]], whole[asked[:, None] + [0, 1]])


def test_a_map_of_a_file_stays_one_and_what_is_read_is_new(tmp_path) -> None:
    np.save(tmp_path / "frames.npy", parts_of([4])[0])
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    pictures = picked(Pictures([mapped]), np.array([2, 0]))
    assert pictures.parts[0] is mapped
    shown = pictures[:]
    shown[:] = 0
    assert np.array_equal(pictures[0], mapped[2]) and not np.array_equal(shown, mapped[[2, 0]])

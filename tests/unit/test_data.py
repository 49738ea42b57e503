"""Datasets and loaders: contents, order of random draws, answers to malformed files."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import data
from needle.data.cifar10 import read_batch
from needle.data.mnist import read_idx


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    images.write_bytes(gzip.compress(idx(rng.integers(0, 256, (10, 28, 28)))))
    labels.write_bytes(gzip.compress(idx(rng.integers(0, 10, (10,)))))
    return images, labels


def test_mnist_reads_plain_and_gzip(mnist: tuple[Path, Path], tmp_path: Path) -> None:
    packed = data.MNISTDataset(*mnist)
    plain = tmp_path / "images.idx"
    plain.write_bytes(gzip.decompress(mnist[0].read_bytes()))
    unpacked = data.MNISTDataset(plain, mnist[1])
    image, label = packed[3]
    assert image.shape == (28, 28, 1)
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1
    assert label == packed.labels[3]
    np.testing.assert_array_equal(packed.images, unpacked.images)
    assert len(packed) == 10
    assert packed[2:5][0].shape == (3, 28, 28, 1)


@pytest.mark.parametrize(
    ("contents", "place", "expected"),
    [
        (b"", "byte 0", "4-byte idx header"),
        (b"\x00\x00\x0d\x03" + b"\0" * 12, "byte 0", "unsigned bytes"),
        (idx(np.zeros((2, 3))), "byte 3", "3 dimensions"),
        (b"\x00\x00\x08\x03\x00\x00", "byte 4", "3 sizes"),
        (idx(np.zeros((2, 28, 28)))[:-1], "byte 16", "1568 bytes"),
        (idx(np.zeros((2, 28, 28))) + b"x", "byte 16", "1568 bytes"),
        (struct.pack(">I3I", 0x803, 0, 2**32 - 1, 2**32 - 1), "byte 4", "sizes of an array"),
    ],
)
def test_malformed_idx_names_file_and_place(
    tmp_path: Path, contents: bytes, place: str, expected: str
) -> None:
    path = tmp_path / "bad.idx"
    path.write_bytes(contents)
    with pytest.raises(data.DataError, match=f"bad.idx, {place}: expected .*{expected}"):
        read_idx(path, 3)


def test_truncated_gzip(mnist: tuple[Path, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(mnist[0].read_bytes()[:200])
    with pytest.raises(data.DataError, match=r"cut.gz, 200 compressed bytes"):
        data.MNISTDataset(cut, mnist[1])


def test_as_many_labels_as_images(mnist: tuple[Path, Path], tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.write_bytes(idx(np.zeros(3)))
    with pytest.raises(data.DataError, match="few, byte 4: expected 10 labels"):
        data.parse_mnist(mnist[0], few)


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (np.zeros((2, 14, 56)), np.zeros(2), r"images, byte 8: expected images of 28 x 28, got"),
        (np.zeros((0, 0, 28)), np.zeros(0), r"images, byte 8: expected images of 28 x 28"),
        (
            np.zeros((2, 28, 28)),
            np.array([9, 10]),
            "labels, byte 9: expected a label 0 - 9, got 10",
        ),
    ],
)
def test_mnist_refuses_other_sizes_and_labels(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, text: str
) -> None:
    paths = tmp_path / "images", tmp_path / "labels"
    for path, array in zip(paths, (images, labels), strict=True):
        path.write_bytes(idx(array))
    with pytest.raises(data.DataError, match=text):
        data.MNISTDataset(*paths)


def test_data_files_without_images(tmp_path: Path) -> None:
    paths = tmp_path / "images", tmp_path / "labels"
    paths[0].write_bytes(idx(np.zeros((0, 28, 28))))
    paths[1].write_bytes(idx(np.zeros(0)))
    assert data.parse_mnist(*paths)[0].shape == (0, 784)
    assert len(data.MNISTDataset(*paths)) == 0
    cifar_batch(tmp_path / "test_batch", {b"data": np.zeros((0, 3072), np.uint8), b"labels": []})
    assert len(data.CIFAR10Dataset(tmp_path, train=False)) == 0


def cifar_batch(path: Path, contents: object) -> None:
    path.write_bytes(pickle.dumps(contents))


def test_cifar10(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (4, 3072)).astype(np.uint8)
    cifar_batch(tmp_path / "test_batch", {b"data": pixels, b"labels": [0, 1, 2, 3]})
    test = data.CIFAR10Dataset(str(tmp_path), train=False)
    image, label = test[2]
    np.testing.assert_allclose(image, pixels[2].reshape(3, 32, 32) / 255, rtol=1e-7)
    assert label == 2
    flipped = data.CIFAR10Dataset(tmp_path, train=False, transforms=[data.RandomFlipHorizontal(1)])
    np.testing.assert_array_equal(flipped[2][0], image[:, :, ::-1])
    np.testing.assert_array_equal(flipped[1:3][0], test[1:3][0][..., ::-1])
    with pytest.raises(FileNotFoundError):
        data.CIFAR10Dataset(tmp_path, train=True)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run by the unpickler",)


@pytest.mark.parametrize(
    "contents",
    [
        Payload(),
        {b"data": Payload(), b"labels": [0]},
        {b"labels": [0]},
        {b"data": np.zeros((2, 3000), np.uint8), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", "b"]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [[1], [2, 3]]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, -99]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]},
    ],
)
def test_malformed_cifar10(tmp_path: Path, contents: object, capsys: Any) -> None:
    path = tmp_path / "test_batch"
    cifar_batch(path, contents)
    with pytest.raises(data.DataError, match="test_batch"):
        read_batch(path)
    assert capsys.readouterr().out == ""


def test_transforms_draw_in_the_documented_order() -> None:
    image = np.arange(5 * 4 * 2, dtype=np.float32).reshape(5, 4, 2)
    np.random.seed(3)
    cropped = data.RandomCrop(2)(image)
    np.random.seed(3)
    rows, columns = np.random.randint(-2, 3, size=2)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    np.testing.assert_array_equal(cropped, padded[2 + rows : 7 + rows, 2 + columns : 6 + columns])
    np.random.seed(5)
    draws = np.random.rand(8) < 0.5
    np.random.seed(5)
    for flips in draws:
        out = data.RandomFlipHorizontal(0.5)(image)
        np.testing.assert_array_equal(out, image[:, ::-1] if flips else image)


def test_dataloader_shuffles_once_when_iteration_starts() -> None:
    values = np.arange(10, dtype=np.float32)
    np.random.seed(0)
    loader = data.DataLoader(data.NDArrayDataset(values), batch_size=4, shuffle=True)
    assert np.random.get_state()[2] == np.random.RandomState(0).get_state()[2]  # no draw yet
    got = np.concatenate([batch[0].numpy() for batch in loader])
    order = np.arange(10)
    np.random.seed(0)
    np.random.shuffle(order)
    np.testing.assert_array_equal(got, values[order])


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_dataloader_batches(prefetch: int, drop_last: bool, sizes: list[int]) -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    labels = np.arange(10)
    dataset = data.NDArrayDataset(values, labels)
    loader = data.DataLoader(dataset, 4, drop_last=drop_last, prefetch=prefetch)
    assert len(loader) == len(sizes)
    for _ in range(2):
        batches = list(loader)
        assert [b[0].shape[0] for b in batches] == sizes
        np.testing.assert_array_equal(
            np.concatenate([b[1].numpy() for b in batches]), labels[: sum(sizes)]
        )


def test_prefetch_passes_errors_on_and_stops_early() -> None:
    class Bad(data.Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: Any) -> Any:
            if 3 in index:
                raise KeyError("sample 3")
            return (np.zeros(len(index)),)

    with pytest.raises(KeyError, match="sample 3"):
        list(data.DataLoader(Bad(), 1, prefetch=2))
    iterator = iter(data.DataLoader(data.NDArrayDataset(np.zeros(100)), 1, prefetch=2))
    next(iterator)
    iterator.close()  # must not hang on the full queue


def test_bad_arguments() -> None:
    dataset = data.NDArrayDataset(np.zeros(3))
    with pytest.raises(ValueError, match=r"\[DataLoader\] batch_size must be positive"):
        data.DataLoader(dataset, 0)
    with pytest.raises(ValueError, match=r"\[NDArrayDataset\] arrays must have one length"):
        data.NDArrayDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match=r"\[RandomFlipHorizontal\] p is a probability"):
        data.RandomFlipHorizontal(1.5)
    with pytest.raises(ValueError, match=r"\[RandomCrop\] padding"):
        data.RandomCrop(-1)
    with pytest.raises(ValueError, match=r"\[Corpus\] max_lines must not be negative"):
        data.Corpus(".", max_lines=-1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: data.DataLoader(data.NDArrayDataset(np.zeros(3)), "a"), r"\[DataLoader\] batch_"),
        (lambda: data.DataLoader(data.NDArrayDataset(np.zeros(3)), 2.5), r"\[DataLoader\] batch_"),
        (lambda: data.DataLoader(data.NDArrayDataset([1]), prefetch=1.5), r"\] prefetch is an int"),
        (lambda: data.NDArrayDataset(np.zeros(())), r"arrays have axes, got arrays\[0\]=ndarray"),
        (lambda: data.NDArrayDataset(3), r"arrays have axes, got arrays\[0\]=int"),
        (lambda: data.RandomCrop("a"), r"\[RandomCrop\] padding is an int, got type=str"),
        (lambda: data.RandomFlipHorizontal("a"), r"\[RandomFlipHorizontal\] p is a number"),
        (lambda: data.Corpus(".", max_lines=1.5), r"\[Corpus\] max_lines is an int"),
        (lambda: data.batchify([1, 2, 3], 2.5), r"\[batchify\] batch_size is an int"),
        (lambda: data.get_batch(np.zeros((4, 2)), 0, 2.5), r"\[get_batch\] bptt is an int"),
    ],
)
def test_arguments_of_wrong_types(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


def test_datasets_of_ndarrays_tensors_and_lists(device: nd.BackendDevice) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    fields = nd.array(x, device=device), ndl.Tensor(x[:, 0], device=device), [5, 6, 7]
    dataset = data.NDArrayDataset(*fields)
    np.testing.assert_array_equal(dataset[1][0], x[1])
    first, second = data.DataLoader(dataset, 2, device=device)
    for got, want in zip(first, (x[:2], x[:2, 0], [5, 6]), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
    assert [t.shape for t in second] == [(1, 2), (1,), (1,)]


def test_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("the cat sat\non the mat\n")
    (tmp_path / "test.txt").write_text("the dog\n")
    corpus = data.Corpus(tmp_path)
    words = [corpus.dictionary.idx2word[i] for i in corpus.train]
    assert words == ["the", "cat", "sat", "<eos>", "on", "the", "mat", "<eos>"]
    assert data.Corpus(tmp_path, max_lines=1).train == corpus.train[:4]
    batches = data.batchify(corpus.train, 2)
    np.testing.assert_array_equal(batches[:, 0], corpus.train[:4])  # a column reads downwards
    x, y = data.get_batch(batches, 0, bptt=2)
    np.testing.assert_array_equal(x.numpy(), batches[:2])
    np.testing.assert_array_equal(y.numpy(), batches[1:3].reshape(-1))
    assert data.get_batch(batches, 2, bptt=2)[0].shape == (1, 2)
    with pytest.raises(IndexError, match=r"\[get_batch\]"):
        data.get_batch(batches, 3, bptt=2)
    with pytest.raises(ValueError, match=r"\[batchify\]"):
        data.batchify(corpus.train, 9)
    (tmp_path / "test.txt").write_bytes(b"ok\n\xff\xfe\n")
    with pytest.raises(data.DataError, match=r"test.txt, line 2: expected UTF-8"):
        data.Corpus(tmp_path)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: data.DataLoader(5),
            r"\[DataLoader\] dataset has a length and items, got type=int",
        ),  # type: ignore[arg-type]
        (lambda: data.batchify(5, 2), r"\[batchify\] data has a length, got type=int"),
        (lambda: data.get_batch(5, 0, 2), r"\[get_batch\] batches has a length, got type=int"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_data_is_named(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()

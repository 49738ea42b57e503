"""Datasets, transforms, loaders."""

from .cifar10 import CIFAR10Dataset
from .dataset import Dataset, NDArrayDataset
from .files import DataError
from .loader import DataLoader
from .mnist import MNISTDataset, parse_mnist
from .text import Corpus, Dictionary, batchify, get_batch
from .transforms import RandomCrop, RandomFlipHorizontal

__all__ = [
    "CIFAR10Dataset",
    "Corpus",
    "DataError",
    "DataLoader",
    "Dataset",
    "Dictionary",
    "MNISTDataset",
    "NDArrayDataset",
    "RandomCrop",
    "RandomFlipHorizontal",
    "batchify",
    "get_batch",
    "parse_mnist",
]

"""Models, and the functions that train and evaluate them."""

from needle.models.cifar10 import epoch_general_cifar10, evaluate_cifar10, train_cifar10
from needle.models.language_model import LanguageModel
from needle.models.mlp_resnet import MLPResNet, ResidualBlock
from needle.models.mnist import epoch, train_mnist
from needle.models.ptb import epoch_general_ptb, evaluate_ptb, train_ptb
from needle.models.resnet9 import ResNet9
from needle.models.simple import loss_err, nn_epoch, parse_mnist, softmax_loss

__all__ = [
    "LanguageModel",
    "MLPResNet",
    "ResNet9",
    "ResidualBlock",
    "epoch",
    "epoch_general_cifar10",
    "epoch_general_ptb",
    "evaluate_cifar10",
    "evaluate_ptb",
    "loss_err",
    "nn_epoch",
    "parse_mnist",
    "softmax_loss",
    "train_cifar10",
    "train_mnist",
    "train_ptb",
]

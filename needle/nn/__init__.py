"""Neural-network modules."""

from needle.nn.activation import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from needle.nn.basic import Flatten, Identity, Linear, Residual, Sequential
from needle.nn.conv import Conv
from needle.nn.dropout import Dropout
from needle.nn.embedding import Embedding
from needle.nn.loss import MSELoss, SoftmaxLoss
from needle.nn.module import Buffer, Module, Parameter
from needle.nn.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm1d
from needle.nn.pooling import AvgPool, MaxPool
from needle.nn.recurrent import LSTM, RNN, LSTMCell, RNNCell
from needle.nn.transformer import (
    AttentionLayer,
    MultiHeadAttention,
    Transformer,
    TransformerLayer,
)

__all__ = [
    "GELU",
    "LSTM",
    "RNN",
    "AttentionLayer",
    "AvgPool",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LSTMCell",
    "LayerNorm1d",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool",
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxLoss",
    "Softplus",
    "Tanh",
    "Transformer",
    "TransformerLayer",
]

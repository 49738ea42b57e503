"""Optimizers and learning-rate schedules."""

from .adam import Adam, AdamW, RMSprop
from .optimizer import Optimizer, clip_grad_norm
from .schedule import CosineLR, Schedule, StepLR, WarmupLR
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineLR",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepLR",
    "WarmupLR",
    "clip_grad_norm",
]

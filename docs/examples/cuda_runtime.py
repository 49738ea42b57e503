"""Streams, events and a captured training step: the program of docs/cuda.md.

Runs on the GPU, without one on the simulator.
"""

import numpy as np

import needle as ndl
from needle import nn, optim

device = ndl.cuda() if ndl.cuda().enabled() else ndl.cuda_sim()

# --- streams and events

x = ndl.Tensor(np.arange(6.0), device=device)
stream, event = device.stream(), device.event()
with stream:  # this thread's work on the device goes there
    y = x * 2
    event.record()  # behind the work queued so far
other = device.stream()
other.wait(event)  # what is queued there from now on waits
with other:
    z = y + 1
total = z.sum().item()  # the default stream waits for all others
assert total == 36

# --- a captured training step

rng = np.random.default_rng(0)
model = nn.Linear(4, 3, device=device)
optimizer = optim.Adam(model.parameters(), lr=0.1)
images = ndl.Tensor(rng.normal(size=(8, 4)), device=device, requires_grad=False)
labels = ndl.Tensor(rng.integers(3, size=8), device=device, requires_grad=False)
batches = [(rng.normal(size=(8, 4)), rng.integers(3, size=8)) for _ in range(3)]
losses = []


def step() -> ndl.Tensor:
    optimizer.reset_grad()
    loss = nn.SoftmaxLoss()(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss


step()  # once, so that the optimizer has its memory
with device.graph() as graph:
    loss = step()  # captured, not done
for batch, targets in batches:
    images.realize_cached_data()[...] = batch  # inputs are written in place
    labels.realize_cached_data()[...] = targets
    graph.replay()
    losses.append(loss.item())  # results are those of the last replay

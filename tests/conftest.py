"""Settings of the whole test run."""

import os

import torch
from hypothesis import settings

# Toys are too small for two threads, which only wait for one another when the machine is busy.
torch.set_num_threads(1)

# What a check says of a change is about the change, not about luck; RANDOM=1 looks where nobody has looked yet.
settings.register_profile("same", derandomize="RANDOM" not in os.environ)
settings.load_profile("same")

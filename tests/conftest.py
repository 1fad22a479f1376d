"""Settings of the whole test run."""

import torch

# Toys are too small for two threads, which only wait for one another when the machine is busy.
torch.set_num_threads(1)

"""The usual loop: one network at a time in PyTorch, as the authors' code trains it.

DataLoader, Adam, mean squared error; after every epoch the errors on the whole cube and, if
requested, all Fourier coefficients.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EVALUATION_BATCH = 1024  # as in the authors' code


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation; errors are half squared errors, as everywhere in pvr_jax."""

    generalization_error: float  # over the whole cube
    in_distribution_error: float  # over the seen inputs
    coefficients: np.ndarray | None  # [2^n]


@dataclass
class Loop:
    """A network with its training and test data, all on one device."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loader: DataLoader
    points: torch.Tensor  # [2^n, n]
    truth: torch.Tensor  # [2^n]
    seen: torch.Tensor  # bool [2^n]
    characters: torch.Tensor | None  # [2^n, 2^n], None if coefficients are not requested
    device: torch.device

    def epoch(self) -> tuple[float, Evaluated]:
        """Train one epoch; return its mean batch loss (full squared error) and the evaluation."""
        self.network.train()
        total = torch.zeros((), device=self.device)
        for x, y in self.loader:
            x, y = x.to(self.device), y.to(self.device)
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.network(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()  # `.item()` would synchronize in every step
        return float(total) / len(self.loader), self.evaluate()

    @torch.no_grad()
    def evaluate(self) -> Evaluated:
        """Evaluate on the whole cube."""
        self.network.eval()
        learned = torch.cat([self.network(x) for x in self.points.split(EVALUATION_BATCH)])
        halves = (learned - self.truth).square() / 2
        coefficients = None
        if self.characters is not None:
            # All coefficients by one matrix product, unlike the authors' loop over monomials: at
            # n = 11 about a hundredth of an epoch on a CPU, and one launch on a GPU.
            coefficients = (self.characters @ learned / len(learned)).cpu().numpy()
        return Evaluated(float(halves.mean()), float(halves[self.seen].mean()), coefficients)


def make_loop(
    network: nn.Module,
    rows: tuple[np.ndarray, np.ndarray],
    cube: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    learning_rate: float,
    batch_size: int,
    coefficients: bool,
) -> Loop:
    """Return the loop of one network, on a GPU if available.

    Args:
        network: on any device.
        rows: the training set x [m, n], y [m], in order.
        cube: points [2^n, n], target [2^n] and seen inputs bool [2^n].
        learning_rate: learning rate of Adam.
        batch_size: batch size of training; the last batch of an epoch is smaller.
        coefficients: whether an evaluation computes all Fourier coefficients.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    points, truth, seen = (torch.tensor(np.array(values)).to(device) for values in cube)
    network = network.to(device)
    return Loop(
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=learning_rate),
        loader=DataLoader(
            TensorDataset(*(torch.tensor(np.array(values)) for values in rows)),
            batch_size=batch_size,
        ),
        points=points,
        truth=truth,
        seen=seen,
        characters=characters(points) if coefficients else None,
        device=device,
    )


def characters(points: torch.Tensor) -> torch.Tensor:
    """Return chi_S(x) [2^n, 2^n], S down and x across; points [2^n, n] in the order of the cube."""
    is_minus = (points < 0).float()  # [x, n]
    is_in_set = (points > 0).float()  # set p contains coordinate i where point p has +1
    return 1 - 2 * ((is_in_set @ is_minus.T) % 2)

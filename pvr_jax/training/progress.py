"""Progress of a run: a live line on a terminal, else a plain line every 30 seconds."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_INTERVAL_SECONDS = 30.0
Item = TypeVar("Item")


def describe_losses(losses: np.ndarray) -> str:
    """Return "median loss 0.5 (0.25 to 1)" of the replicas [R] whose loss is finite."""
    finite = losses[np.isfinite(losses)]
    if finite.size == 0:
        return "median loss –"
    low, middle, high = finite.min(), np.median(finite), finite.max()
    return f"median loss {middle:.3g} ({low:.3g} to {high:.3g})"


def describe_duration(seconds: float) -> str:
    """Return "45 s", "3 min 05 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ProgressDisplay:
    """Shows how far a stage is.

    Rates of training are of its steps alone: compiling, evaluating and saving are not in them.
    """

    def __init__(
        self,
        total: int,
        replicas: int = 0,
        speaks: bool = True,
        stream: TextIO | None = None,
        first: str = "compiling",
    ) -> None:
        self._speaks = speaks  # one of several processes does
        self._total = total
        self._replicas = replicas
        self._stream = stream or sys.stdout
        self._bar: Progress | None = None
        self._last_line = -np.inf
        if speaks and self._stream.isatty():
            self._bar = Progress(
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task(first, total=total)

    def __enter__(self) -> "ProgressDisplay":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, message: str) -> None:
        """Print one line above the progress."""
        if self._bar:
            self._bar.console.print(message, highlight=False, markup=False, soft_wrap=True)
        elif self._speaks:
            print(message, file=self._stream, flush=True)

    def update(self, step: int, losses: np.ndarray, seconds_per_step: float) -> None:
        """Show that `step` steps are done; `losses` [R] are means since the last evaluation."""
        left = "time left –"
        rate = "replica-steps/s –"
        if seconds_per_step > 0:
            left = f"{describe_duration((self._total - step) * seconds_per_step)} left"
            rate = f"{self._replicas / seconds_per_step:,.0f} replica-steps/s"
        self.show(
            step,
            f"step {step}/{self._total}  {describe_losses(losses)}  {rate}  {left}",
            always=step == self._total,
        )

    def show(self, completed: int, line: str, always: bool = False) -> None:
        """Show that so much of the total is completed; a plain line if it is time for one."""
        if self._bar:
            self._bar.update(self._task, completed=completed, description=line)
            return
        now = time.monotonic()
        if self._speaks and (always or now - self._last_line >= PLAIN_INTERVAL_SECONDS):
            self._last_line = now
            print(line, file=self._stream, flush=True)

    def follow(self, items: Iterable[Item], describe: Callable[[Item], str]) -> Iterator[Item]:
        """Yield the items of a stage after training, each shown while it is worked on.

        Without a terminal, a stage that ends before the first plain line is due prints nothing.
        """
        self._last_line = begin = time.monotonic()
        for index, item in enumerate(items):
            left = "time left –"
            if index:
                rest = (self._total - index) * (time.monotonic() - begin) / index
                left = f"{describe_duration(rest)} left"
            self.show(index, f"{describe(item)}  {left}")
            yield item
        if self._bar:
            self._bar.update(self._task, completed=self._total)

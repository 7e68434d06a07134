"""Progress of a run: a live line on a terminal, else a plain line every 30 seconds."""

import sys
import time
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_INTERVAL_SECONDS = 30.0


def describe_losses(losses: np.ndarray) -> str:
    """Return "loss min / median / max" over the replicas [R] whose loss is finite."""
    finite = losses[np.isfinite(losses)]
    if finite.size == 0:
        return "loss –"
    low, middle, high = finite.min(), np.median(finite), finite.max()
    return f"loss {low:.3g} / {middle:.3g} / {high:.3g}"


def describe_duration(seconds: float) -> str:
    """Return "45 s", "3 min 05 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ProgressDisplay:
    """Shows step, loss over replicas, replica-steps per second and the time left.

    Rates are those of training, without compiling, evaluating and saving.
    """

    def __init__(
        self,
        total_steps: int,
        replicas: int,
        speaks: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        self._speaks = speaks  # one of several processes does
        self._total = total_steps
        self._replicas = replicas
        self._stream = stream or sys.stdout
        self._bar: Progress | None = None
        self._last_line = -np.inf
        if speaks and self._stream.isatty():
            self._bar = Progress(
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task("compiling", total=total_steps)

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
        line = f"step {step}/{self._total}  {describe_losses(losses)}  {rate}  {left}"
        if self._bar:
            self._bar.update(self._task, completed=step, description=line)
            return
        now = time.monotonic()
        if not self._speaks:
            return
        if step == self._total or now - self._last_line >= PLAIN_INTERVAL_SECONDS:
            self._last_line = now
            print(line, file=self._stream, flush=True)

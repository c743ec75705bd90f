"""Policies: deciding slot by slot, without seeing the future.

A policy is told the *header* of an instance (everything that is known in advance: prices of
switching, limits, the window of possible carbon intensities), and then, slot by slot, an
*observation*: what has been revealed so far, how far it has come, and the forecast issued in this
slot. Its answer is final.

That nobody peeks is not a matter of trust. The environment reveals a series by copying it, value by
value, into a buffer that holds NaN everywhere else (`Reveal`), and the policy sees a read-only view
of that buffer: the future is not there to be read, not even through ``base``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def frozen(values: ArrayLike) -> FloatArray:
    """Copy that nobody can make writeable again: its memory is a bytes object.

    It has the shape of `values`; of one number it makes an array of length one.
    """
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    # numpy 1 refuses an empty buffer.
    copy = np.frombuffer(array.tobytes(), dtype=np.float64) if array.size else np.empty(0)
    copy.flags.writeable = False
    return copy.reshape(array.shape)


@dataclass(frozen=True)
class Observation:
    """What a policy may know when it decides.

    Parameters
    ----------
    slot
        Number of the slot that is about to start, from 0.
    time
        Its start, tz-aware UTC.
    past
        Revealed series by name, up to and including this slot; read-only.
    state
        How far the policy has come, in the terms of the problem.
    forecast
        Values for this slot and all later ones, as issued now; None without a forecast. The first
        entry is the revealed value of this slot.
    """

    slot: int
    time: pd.Timestamp
    past: Mapping[str, FloatArray]
    state: Any
    forecast: FloatArray | None


class Policy(ABC):
    """An online decision-maker.

    Subclasses set `name` and `needs` and implement `reset` and `decide`; `decide` sees nothing but
    its observation and whatever the policy remembered.

    Attributes
    ----------
    name
        The name used in comparisons and on the command line.
    needs
        What the policy must be granted beyond header and past: "forecast" (values ahead),
        "length" (the true length of a job whose length is hidden). Shown in every comparison.
    summary
        One sentence that says what the policy does.
    randomised
        Whether it draws random numbers; its constructor then takes a ``seed``.
    guarantee
        What is proven about it, as data of its problem, or None.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    summary: ClassVar[str] = ""
    randomised: ClassVar[bool] = False
    guarantee: ClassVar[Any] = None

    @abstractmethod
    def reset(self, header: Any) -> None:
        """Start a new run on the instance that the header describes.

        Parameters
        ----------
        header
            What is known in advance: prices, limits, lengths if they are granted; `replay.py` of
            each problem says what it holds.
        """

    @abstractmethod
    def decide(self, observation: Observation) -> Any:
        """Decide for the slot that is about to start.

        Parameters
        ----------
        observation
            What has been revealed by now, how far the run has come, and the forecast issued now.

        Returns
        -------
        object
            The action, in the terms of the problem: servers for a job, say.
        """


class Environment(Protocol):
    """One run of an instance, slot by slot: the room `replay.py` of a problem implements it."""

    header: Any

    def observe(self) -> Observation | None:
        """What the policy may see now; None when there is nothing left to decide."""

    def act(self, action: Any) -> None:
        """Carry out a decision and move on to the next slot."""


def replay(environment: Environment, policy: Policy) -> None:
    """Let a policy decide every slot of an environment."""
    policy.reset(environment.header)
    while (observation := environment.observe()) is not None:
        environment.act(policy.decide(observation))


class Reveal:
    """A series that becomes known one slot at a time.

    Parameters
    ----------
    values
        The whole series, one value or one array of values per slot; it is copied and kept from
        sight.
    history
        Values before the first slot, known from the start.
    """

    def __init__(self, values: ArrayLike, history: ArrayLike = ()) -> None:
        self._values = np.array(values, dtype=np.float64)
        before = np.asarray(history, dtype=np.float64).reshape(-1, *self._values.shape[1:])
        self._start = len(before)
        self._buffer = np.concatenate([before, np.full(self._values.shape, np.nan)])
        self._buffer.flags.writeable = False
        self._revealed = 0

    def up_to(self, slot: int) -> FloatArray:
        """Values of the slots 0 to `slot`, read-only."""
        return self.with_history(slot)[self._start :]

    def with_history(self, slot: int) -> FloatArray:
        """History and the values of the slots 0 to `slot`, read-only."""
        end = self._start + slot + 1
        if slot >= self._revealed:
            new = slice(self._revealed, slot + 1)
            self._buffer.flags.writeable = True
            self._buffer[self._start :][new] = self._values[new]
            self._buffer.flags.writeable = False
            self._revealed = slot + 1
        return self._buffer[:end]

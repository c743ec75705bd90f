r"""Serving: how long an answer takes, and when to stop waiting for a member.

A request goes to all members at once. Each encodes it and forwards its features to the combiner,
which answers by the head of the members that have arrived. Member i arrives after

.. math:: a_i = \text{upload}_i + \text{encode}_i + \text{forward}_i

and a member that is down never does. With a deadline D the combiner answers as soon as all members
that it waits for are there, or at D with those that are there; if none is, with the first one. So

.. math::
    T = \min\left(\max_i a_i,\ \max(D, \min_i a_i)\right) + \text{head} + \text{reply}

The failure is noticed by each request on its own: before anybody knows that a member is down, an
answer takes :math:`D` instead of :math:`\max_i a_i`, and no model is loaded. Once it is known
(`known_down`), nobody waits for it any more.

When the combiner itself is lost, each member catches the failed call (after `refused_ms`) and
answers from its own exit; the client takes the first answer. Heads are small, and every server may
hold all of them (`replicated`): then each member can be the combiner, no single one can be lost,
and features go from everybody to everybody. The times above are then upper limits, as the
combiner's own features need not travel.

Modes of serving and the fall-back to exits are the authors' (MEL, arXiv:2506.20094, and
umassos/iobt25-demo). The deadline of the join, the formula, and replicated heads are ours, checked
in tests/ensembles/multilevel/test_serving.py. On the authors' networked testbed a request takes
about 12 ms from one upstream alone and 14.3 ms from the ensemble.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from optmodels.ensembles.multilevel.samples import IntArray, Seed
from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray


@dataclass(frozen=True, eq=False)
class Answers:
    """When requests were answered, and by whom.

    Attributes
    ----------
    latency_ms
        Time of each answer; infinite where there is none.
    members
        Who answered, as a number (bit m for member m); 0 where nobody did.
    """

    latency_ms: FloatArray
    members: IntArray

    @property
    def answered(self) -> float:
        """Share of the requests that got an answer."""
        return float((self.members > 0).mean())

    def accuracy(self, table: Mapping[frozenset[int], float]) -> float:
        """Expected accuracy of the answers; a request without an answer is wrong."""
        kinds, counts = np.unique(self.members, return_counts=True)
        known = {sum(1 << m for m in alive): value for alive, value in table.items()}
        total = sum(
            count * known[number]
            for number, count in zip(kinds.tolist(), counts.tolist(), strict=True)
            if number > 0
        )
        return float(total) / len(self.members)


@dataclass(frozen=True)
class Serving:
    """Times of an ensemble whose members run on servers of their own.

    Attributes
    ----------
    encode_ms
        Time of each member's encoder.
    upload_ms, forward_ms, reply_ms
        From the client to each member, from each member to the combiner, and back to the client.
        One number stands for all members.
    head_ms, exit_ms
        Time of a combination head, and of an exit.
    refused_ms
        Until a member notices that the combiner does not take its call.
    deadline_ms
        How long after the request the combiner waits for members; for ever by default.
    replicated
        Whether every member's server holds all heads.
    """

    encode_ms: tuple[float, ...]
    upload_ms: tuple[float, ...] | float = 0.0
    forward_ms: tuple[float, ...] | float = 0.0
    reply_ms: float = 0.0
    head_ms: float = 0.0
    exit_ms: float = 0.0
    refused_ms: float = 0.0
    deadline_ms: float = np.inf
    replicated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "encode_ms", tuple(float(t) for t in self.encode_ms))
        flaws = []
        if not self.encode_ms:
            flaws.append(Flaw("names no member", field="encode_ms"))
        for name in ("upload_ms", "forward_ms"):
            given = getattr(self, name)
            values = (given,) * self.count if np.ndim(given) == 0 else tuple(given)
            object.__setattr__(self, name, tuple(float(t) for t in values))
            if len(values) != self.count:
                allowed = f"{self.count} times, or one for all"
                flaws.append(
                    Flaw("are not as many as members", field=name, value=given, allowed=allowed)
                )
        for name in ("encode_ms", "upload_ms", "forward_ms", "reply_ms", "head_ms", "exit_ms",
                     "refused_ms"):  # fmt: skip
            times = np.atleast_1d(getattr(self, name))
            if not np.all(np.isfinite(times)) or np.any(times < 0):
                value = getattr(self, name)
                flaws.append(Flaw("is no time", field=name, value=value, allowed=">= 0"))
        if not self.deadline_ms >= 0:
            value = self.deadline_ms
            flaws.append(Flaw("is no time", field="deadline_ms", value=value, allowed=">= 0"))
        if flaws:
            raise InputError(flaws, "Serving of a multi-level ensemble")

    @property
    def count(self) -> int:
        """Number of members."""
        return len(self.encode_ms)

    @property
    def arrivals_ms(self) -> FloatArray:
        """When each member's features reach the combiner."""
        times: FloatArray = np.array([self.upload_ms, self.encode_ms, self.forward_ms]).sum(axis=0)
        return times

    @property
    def alone_ms(self) -> FloatArray:
        """Time of an answer from each member's own exit, the combiner not asked."""
        times: FloatArray = np.add(self.upload_ms, self.encode_ms) + self.exit_ms + self.reply_ms
        return times

    @property
    def local_ms(self) -> float:
        """Time of an answer when all members run one after the other on one server."""
        return float(np.max(self.upload_ms) + sum(self.encode_ms) + self.head_ms + self.reply_ms)

    # ------------------------------------------------------------------------------------ requests
    def answer(
        self, down: Collection[int] = (), *, known_down: bool = False, combiner_down: bool = False
    ) -> tuple[float, frozenset[int]]:
        """Time of one answer [ms], and who gave it, if every time is as stated.

        Parameters
        ----------
        down
            Members that are down.
        known_down
            Whether that is known, so that nobody waits for them.
        combiner_down
            Whether the combiner is lost.

        Returns
        -------
        An infinite time and nobody, if nobody answers.
        """
        found = self.answers(
            self.arrivals_ms[None, :], down, known_down=known_down, combiner_down=combiner_down
        )
        number = int(found.members[0])
        who = frozenset(m for m in range(self.count) if number >> m & 1)
        return float(found.latency_ms[0]), who

    def answers(
        self,
        arrivals_ms: ArrayLike,
        down: Collection[int] = (),
        *,
        known_down: bool = False,
        combiner_down: bool = False,
    ) -> Answers:
        """Answers to many requests, from the times at which members reach the combiner.

        Parameters
        ----------
        arrivals_ms
            Shape (requests, members), such as `sampled_ms` gives; infinite for what is lost.
        down, known_down, combiner_down
            As in `answer`.

        Raises
        ------
        UsageError
            The times have another shape, or a member that is down does not exist.
        """
        arrivals = np.array(arrivals_ms, dtype=np.float64)
        if arrivals.ndim != 2 or arrivals.shape[1] != self.count or np.isnan(arrivals).any():
            raise UsageError(
                f"Arrivals have the shape (requests, {self.count}), and are times; got the shape "
                f"{arrivals.shape}."
            )
        strangers = sorted(set(down) - set(range(self.count)))
        if strangers:
            raise UsageError(f"There is no member {strangers[0]}; members: 0 to {self.count - 1}.")
        arrivals[:, sorted(down)] = np.inf
        if combiner_down and not self.replicated:
            return self._exits(arrivals)
        waited = np.ones(self.count, dtype=bool)
        if known_down:
            waited[sorted(down)] = False
        first = arrivals.min(axis=1)
        last = arrivals[:, waited].max(axis=1, initial=0.0)
        joined = np.minimum(last, np.maximum(self.deadline_ms, first))
        # Without a deadline, a member that is down keeps its request waiting for ever.
        lost = ~np.isfinite(joined)
        present = (arrivals <= joined[:, None]) & ~lost[:, None]
        bits = 1 << np.arange(self.count, dtype=np.int64)
        return Answers(
            np.where(lost, np.inf, joined + self.head_ms + self.reply_ms), present @ bits
        )

    def _exits(self, arrivals: FloatArray) -> Answers:
        """Answers from exits after the combiner refused the call; the client takes the first."""
        times = arrivals - np.asarray(self.forward_ms) + self.refused_ms + self.exit_ms
        first = np.argmin(times, axis=1)
        latency = times[np.arange(len(times)), first] + self.reply_ms
        who = np.where(np.isfinite(latency), np.int64(1) << first.astype(np.int64), 0)
        return Answers(latency, who)

    def sampled_ms(
        self, requests: int, *, spread: Sequence[float] | float, seed: Seed
    ) -> FloatArray:
        """Random arrivals, shape (requests, members): log-normal with the stated times as medians.

        Parameters
        ----------
        requests
            Number of requests.
        spread
            Standard deviation of the logarithm, of each member or of all.
        seed
            Of the draw.

        Raises
        ------
        InputError
            There are no requests, or a spread is negative.
        """
        sd = np.asarray(spread, dtype=np.float64)
        flaws = []
        if requests < 1:
            flaws.append(Flaw("is too few", field="requests", value=requests, allowed=">= 1"))
        if sd.ndim > 1 or sd.size not in (1, self.count) or not np.all((sd >= 0) & (sd < np.inf)):
            flaws.append(Flaw("is no spread", field="spread", value=spread, allowed=">= 0"))
        if flaws:
            raise InputError(flaws)
        drawn = np.random.default_rng(seed).standard_normal((requests, self.count))
        sampled: FloatArray = self.arrivals_ms * np.exp(sd * drawn)
        return sampled

    def traffic(self, features: Sequence[int], classes: int) -> dict[str, int]:
        """Numbers that travel between servers per request, by the way heads are computed.

        "features": each member sends its features to the combiner, which has the heads. "sums":
        each member sends its part of the scores of every subset that it is in, as linear heads add
        up. With replicated heads everybody sends to everybody else; of the sums then only those of
        subsets that the receiver is in, too.

        Raises
        ------
        UsageError
            The number of members is not that of the ensemble.
        """
        if len(features) != self.count:
            raise UsageError(f"There are {self.count} members; got {len(features)} of features.")
        others = self.count - 1
        if not self.replicated:
            return {"features": sum(features), "sums": self.count * 2**others * classes}
        sums = self.count * others * 2 ** (others - 1) * classes if others else 0
        return {"features": others * sum(features), "sums": sums}

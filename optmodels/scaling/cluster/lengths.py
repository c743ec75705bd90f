"""How long jobs still run, as far as one can know.

Nobody tells a policy how long a job is. What it knows are the lengths of the jobs that have ended:
those of the past that the header brings, and those it has seen ending. Of a job that has done some
work already, only the longer ones are comparable: the empirical distribution of the length of its
queue, conditional on being longer than what it has done. Long-running jobs are thus expected to go
on for longer than the mean of their queue says.

Where nothing is known but the mean of a queue, lengths are taken to be exponential with that mean,
and so are those of jobs that have outrun all that is known: what has been done says nothing then
about what is left.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.replay import ClusterHeader, Finished

#: A job that has done as much as a known length, but for rounding, is longer than that.
_ROUNDING = 1e-9


class Lengths:
    """Known lengths by queue, and what they say about unfinished jobs.

    Parameters
    ----------
    header
        Mean length of each queue, and the jobs of the past if it brings any.
    assumed
        Lengths drawn evenly from an exponential distribution that a queue without past starts
        from; they weigh less and less as jobs are seen ending.
    """

    def __init__(self, header: ClusterHeader, assumed: int = 20) -> None:
        self._mean = header.queues.mean_length
        self._known: list[FloatArray] = []
        for queue, mean in enumerate(self._mean):
            known = np.empty(0)
            if header.past is not None:
                jobs = header.past.jobs
                known = np.sort(jobs.length[jobs.queue == queue])
            self._known.append(known if len(known) else mean * _exponential(assumed))

    def learn(self, finished: Finished) -> None:
        """Take note of the jobs that ended in the slot before."""
        for queue in np.unique(finished.queue).tolist():
            known = self._known[queue]
            new = np.sort(finished.length[finished.queue == queue])
            self._known[queue] = np.insert(known, np.searchsorted(known, new), new)

    def mean_left(self, queue: IntArray, done: FloatArray) -> FloatArray:
        """Expected work left of jobs [slots on the fewest servers].

        Parameters
        ----------
        queue, done
            Code of the queue of each job, and the work that it has done.
        """
        left = self._mean[queue].copy()
        for code, known in enumerate(self._known):
            of = np.flatnonzero(queue == code)
            first = self._longer(known, done[of])
            longer = len(known) - first
            above = np.append(np.cumsum(known[::-1])[::-1], 0.0)[first]
            some = longer > 0
            left[of[some]] = above[some] / longer[some] - done[of[some]]
        return left

    def left(self, queue: IntArray, done: FloatArray, count: int) -> FloatArray:
        """Equally likely values of the work left of jobs [slots on the fewest servers].

        Parameters
        ----------
        queue, done
            Code of the queue of each job, and the work that it has done.
        count
            Q: number of values per job: the medians of Q equal parts of the distribution.

        Returns
        -------
        numpy.ndarray
            Shape (jobs, Q), ascending in each row, all positive.
        """
        part = (np.arange(count) + 0.5) / count
        left = self._mean[queue][:, None] * _exponential(count)
        for code, known in enumerate(self._known):
            of = np.flatnonzero(queue == code)
            first = self._longer(known, done[of])
            some = first < len(known)
            of, first = of[some], first[some]
            place = first[:, None] + np.floor((len(known) - first)[:, None] * part).astype(np.int64)
            left[of] = known[place] - done[of, None]
        return left

    @staticmethod
    def _longer(known: FloatArray, done: FloatArray) -> IntArray:
        """Position of the first known length that is longer than what has been done."""
        beyond = done * (1 + _ROUNDING) + _ROUNDING
        return np.searchsorted(known, beyond, side="right").astype(np.int64)


def _exponential(count: int) -> FloatArray:
    """Medians of equal parts of the exponential distribution, scaled to mean 1."""
    values: FloatArray = -np.log1p(-(np.arange(count) + 0.5) / count)
    scaled: FloatArray = values / values.mean()
    return scaled

r"""Requests served together: a batch of :math:`b` takes :math:`s(b) = \alpha + \beta b`.

All of this is our own, approximations tested against simulation. *Full batches* wait until they
are complete: a request waits :math:`(b-1)/(2\Lambda)` for the others, then its batch waits like one
of an Erlang stream,

.. math::
    R \approx \frac{b-1}{2\Lambda} + \frac{1}{b}\,\frac{\rho_b\, s(b)}{2(1-\rho_b)} + s(b),
    \qquad \rho_b = \Lambda s(b) / b

exact at :math:`b = 1`. *Greedy batches* take whatever waits. Where the station never idles the mean
batch is what arrives during one service, :math:`\bar b = \Lambda\alpha / (1 - \Lambda\beta)`; a
request waits half a service for the batch before its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from optmodels.errors import UsageError
from optmodels.queueing.tenants import finite


@dataclass(frozen=True)
class BatchService:
    """Time that a batch takes, alpha + beta b.

    Attributes
    ----------
    fixed
        alpha: time of a batch however small, at least 0.
    per_request
        beta: time of each request in it, above 0.

    Raises
    ------
    UsageError
        A time is out of range.
    """

    fixed: float
    per_request: float

    def __post_init__(self) -> None:
        finite(self.fixed, "times of a batch", 0.0)
        finite(self.per_request, "times of a request", 0.0, open_low=True)

    def seconds(self, batch: float) -> float:
        """Time of a batch of this size, in the unit of alpha and beta."""
        return self.fixed + self.per_request * batch


def full_batch_response(rate: float, batch: int, service: BatchService) -> float:
    """Mean response where a batch starts when it is complete; infinite where it is overloaded.

    Raises
    ------
    UsageError
        The rate is not positive, or the batch not a whole number from 1.
    """
    arriving = _rate(rate)
    if not (isinstance(batch, int) and batch >= 1):
        raise UsageError(f"The batch is {batch}; allowed: a whole number from 1.")
    length = service.seconds(batch)
    busy = arriving * length / batch
    if busy >= 1:
        return float("inf")
    waiting = busy * length / (2 * (1 - busy)) / batch
    return (batch - 1) / (2 * arriving) + waiting + length


def smallest_batch(rate: float, service: BatchService, load_max: float) -> int | None:
    """Smallest full batch with a load of at most `load_max`; None where no batch has one.

    Raises
    ------
    UsageError
        The rate is not positive, or the load not within 0 and 1.
    """
    arriving = _rate(rate)
    most = float(finite(load_max, "largest loads", 0.0, 1.0, open_low=True))
    # rho_b = rate * (fixed / b + per_request) falls with b.
    room = most - arriving * service.per_request
    if room <= 0:
        return None
    batch = max(1, int(arriving * service.fixed / room))
    while arriving * service.seconds(batch) / batch > most:
        batch += 1
    return batch


def greedy_batch(rate: float, service: BatchService) -> float:
    """Mean batch where a free station takes all that waits; infinite where it is overloaded.

    Raises
    ------
    UsageError
        The rate is not positive.
    """
    arriving = _rate(rate)
    free = 1 - arriving * service.per_request
    return max(1.0, arriving * service.fixed / free) if free > 0 else float("inf")


def greedy_batch_response(rate: float, service: BatchService) -> float:
    """Mean response where a free station takes all that waits; infinite where it is overloaded.

    A request finds the station busy for the share of the time that it is, and then waits half a
    service for the batch before its own.

    Raises
    ------
    UsageError
        The rate is not positive.
    """
    batch = greedy_batch(rate, service)
    if batch == float("inf"):
        return batch
    length = service.seconds(batch)
    busy = min(1.0, _rate(rate) * length / batch)
    return length * (1 + busy / 2)


def _rate(rate: float) -> float:
    return float(finite(rate, "rates", 0.0, open_low=True))

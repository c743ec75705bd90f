r"""Temporal shifting: suspend a job while electricity is dirty, resume it when it is clean.

Moving a block of length `τ_b` at power `P` from intensity `CI_h` to `CI_l` pays if and only if

.. math:: P τ_b (CI_h − CI_l) > E_{sr} CI_{sr} + P_{idle} τ CI_{pause}:

what the block saves against the energy `E_sr` of saving and restoring the state (boot and cold
caches included) and of a server that stays on through the pause `τ`. With `n` pauses a job of `l`
hours draws `P l + n E_sr + P_idle τ`, so the energy penalty is `(n E_sr + P_idle τ) / (P l)`: the
least energy is to run once, without a break. Our derivation, checked numerically in
tests/scaling/efficiency/test_temporal.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from optmodels.errors import InfeasibleError, UsageError
from optmodels.policy import FloatArray, frozen
from optmodels.scaling.efficiency.jobs import job_of, read_carbon, read_whole
from optmodels.scaling.job.inputs import Inputs
from optmodels.scaling.job.instance import JobInstance


@dataclass(frozen=True)
class Pause:
    """One pause that moves a block of work from dirty to clean electricity.

    Parameters
    ----------
    power_kw
        Power of the job [kW], > 0.
    block_hours
        Length of the block that is moved [h], > 0.
    dirty_g_per_kwh, clean_g_per_kwh
        Carbon intensity where the block would run, and where it runs instead.
    suspend_resume_kwh
        Energy of saving and restoring the job [kWh].
    overhead_g_per_kwh
        Carbon intensity at which that energy is drawn.
    idle_kw
        Power of the server during the pause [kW]; 0 if it is parked.
    pause_hours, pause_g_per_kwh
        Length of the pause [h] and its mean carbon intensity.

    Raises
    ------
    InputError
        A value is out of range; all of them are listed.
    """

    power_kw: float
    block_hours: float
    dirty_g_per_kwh: float
    clean_g_per_kwh: float
    suspend_resume_kwh: float = 0.0
    overhead_g_per_kwh: float = 0.0
    idle_kw: float = 0.0
    pause_hours: float = 0.0
    pause_g_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        given = Inputs("pause")
        for name, value in vars(self).items():
            given.number(name, value, minimum=0.0, strict=name in ("power_kw", "block_hours"))
        given.check()

    @property
    def shifted_g(self) -> float:
        """Carbon that running the block at the other time saves [g]."""
        return self.power_kw * self.block_hours * (self.dirty_g_per_kwh - self.clean_g_per_kwh)

    @property
    def overhead_g(self) -> float:
        """Carbon of suspending, resuming and idling [g]."""
        idling = self.idle_kw * self.pause_hours * self.pause_g_per_kwh
        return self.suspend_resume_kwh * self.overhead_g_per_kwh + idling

    @property
    def saving_g(self) -> float:
        """Carbon saved by the pause [g]; negative where it does not pay."""
        return self.shifted_g - self.overhead_g

    @property
    def pays(self) -> bool:
        """Whether the pause saves carbon."""
        return self.shifted_g > self.overhead_g

    @property
    def break_even_g_per_kwh(self) -> float:
        """Carbon intensity of the dirty time above which the pause pays."""
        return self.clean_g_per_kwh + self.overhead_g / (self.power_kw * self.block_hours)

    @property
    def extra_kwh(self) -> float:
        """Energy that the pause adds [kWh]."""
        return self.suspend_resume_kwh + self.idle_kw * self.pause_hours

    def energy_penalty(self, job_hours: float) -> float:
        """Energy that the pause adds, as a share of what a job of this length draws."""
        return self.extra_kwh / (self.power_kw * job_hours)


@dataclass(frozen=True, eq=False)
class SuspendResume:
    """A job that is either on or off, suspended as often and as long as it is worth.

    Parameters
    ----------
    carbon_g_per_kwh
        Carbon intensity of each slot until the deadline, shape (T,).
    run_slots
        Slots that the job has to run, 1 to T.
    power_kw
        Power while it runs [kW].
    suspend_resume_kwh, overhead_g_per_kwh
        Energy of one suspension with its resumption [kWh], and the carbon intensity at which it is
        drawn.
    idle_kw
        Power between the runs [kW]; 0 if the server is parked.
    slot_hours
        Length of a slot [h].

    Raises
    ------
    InputError
        A value is out of range; all of them are listed.
    InfeasibleError
        The job does not fit before the deadline.
    """

    carbon_g_per_kwh: ArrayLike
    run_slots: int
    power_kw: float
    suspend_resume_kwh: float = 0.0
    overhead_g_per_kwh: float = 0.0
    idle_kw: float = 0.0
    slot_hours: float = 1.0

    def __post_init__(self) -> None:
        given = Inputs("job that is suspended and resumed")
        carbon = read_carbon(given, self.carbon_g_per_kwh)
        for name in ("power_kw", "slot_hours"):
            given.number(name, getattr(self, name), minimum=0.0, strict=True)
        for name in ("suspend_resume_kwh", "overhead_g_per_kwh", "idle_kw"):
            given.number(name, getattr(self, name), minimum=0.0)
        read_whole(given, "run_slots", self.run_slots)
        given.check()
        if self.run_slots > carbon.size:
            raise InfeasibleError(
                f"A job of {self.run_slots} slots does not fit into {carbon.size} slots."
            )
        object.__setattr__(self, "carbon_g_per_kwh", frozen(carbon))

    def options(self) -> pd.DataFrame:
        """The choices that no other one beats, by rising energy.

        Returns
        -------
        pandas.DataFrame
            ``suspensions``, ``pause_hours`` between the first and the last run, ``energy_kwh`` and
            ``carbon_g`` (the least for that many suspensions and pauses). The first row runs
            without a break, unless breaks cost no energy.

        Notes
        -----
        Exact: a dynamic programme over slots, runs, suspensions and pauses.
        """
        least = self._least_carbon()
        suspensions, pauses = np.nonzero(np.isfinite(least))
        idle_kwh = self.idle_kw * self.slot_hours
        energy = self.run_slots * self.power_kw * self.slot_hours
        frame = pd.DataFrame(
            {
                "suspensions": suspensions,
                "pause_hours": pauses * self.slot_hours,
                "energy_kwh": energy + suspensions * self.suspend_resume_kwh + pauses * idle_kwh,
                "carbon_g": least[suspensions, pauses],
            }
        )
        order = ["energy_kwh", "carbon_g", "suspensions", "pause_hours"]
        frame = frame.sort_values(order, ignore_index=True)
        best_before = frame["carbon_g"].cummin().shift(fill_value=np.inf)
        return frame[frame["carbon_g"] < best_before].reset_index(drop=True)

    def job(self) -> JobInstance:
        """The same question as an elastic job, in which slots may be divided.

        The energy of a suspension becomes a switching cost, half of its carbon for each ramp; the
        start and the end of the job pay one, too. The job's switching costs carbon only: its
        ``energy_kwh`` leaves that energy out. It is a relaxation, since it may also run at a part
        of its rate: its optimum is at most that of `options`, plus the carbon of one suspension
        for the start and the end.

        Raises
        ------
        UsageError
            The server stays on between runs; an elastic job has no level for that.
        """
        if self.idle_kw > 0:
            raise UsageError("An elastic job is parked between its runs. Fix: idle_kw=0.")
        return job_of(
            self.carbon_g_per_kwh,
            work=float(self.run_slots),
            servers=[1.0],
            throughput=[1.0],
            power_kw=[self.power_kw],
            slot_hours=self.slot_hours,
            switching_g=self.suspend_resume_kwh * self.overhead_g_per_kwh / 2,
        )

    def _least_carbon(self) -> FloatArray:
        """Least carbon [g] by number of suspensions and of pause slots; infinite if impossible."""
        carbon = np.asarray(self.carbon_g_per_kwh) * self.slot_hours
        runs, spare = self.run_slots, carbon.size - self.run_slots
        shape = (runs + 1, min(runs - 1, spare) + 1, spare + 1)
        # Least carbon so far by slots run, suspensions and pauses, if the last slot ran or paused.
        ran, paused = np.full(shape, np.inf), np.full(shape, np.inf)
        overhead = self.suspend_resume_kwh * self.overhead_g_per_kwh
        least = np.full(shape[1:], np.inf)
        for grams in carbon.tolist():
            before = ran.copy()
            before[0, 0, 0] = 0.0
            # A suspension is counted when it ends.
            before[:, 1:] = np.minimum(before[:, 1:], paused[:, :-1] + overhead)
            idling = np.minimum(ran, paused)[:, :, :-1] + self.idle_kw * grams
            ran, paused = np.full(shape, np.inf), np.full(shape, np.inf)
            ran[1:] = before[:-1] + self.power_kw * grams
            paused[:, :, 1:] = idling
            least = np.minimum(least, ran[runs])
        return least

"""Episodes: runs of instances as Gymnasium sees them. Imports Gymnasium (extra "learning")."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from optmodels import registry
from optmodels.comparison import forecast_of
from optmodels.errors import SolverError, UsageError
from optmodels.forecast import Forecast
from optmodels.instance import Instance
from optmodels.interop.agents import LARGEST, Agent, View
from optmodels.plan import Plan, Provenance
from optmodels.policy import Observation

#: Relative difference between the rewards of an episode and its audit that rounding explains.
_ROUNDING = 1e-9


class InstanceEnv(gymnasium.Env[Any, Any]):  # type: ignore[misc]  # mypy does not follow it
    """Instances of one problem as an environment; made by `optmodels.interop.environment`.

    Attributes
    ----------
    features, controls
        Meaning of the numbers of an observation, and of an action.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        instances: tuple[Instance, ...],
        *,
        kind: type[Agent],
        forecast: str | Forecast | ArrayLike | None,
        past_slots: int,
        ahead_slots: int,
    ) -> None:
        self.instances = instances
        self.kind = kind
        self.past_slots, self.ahead_slots = past_slots, ahead_slots
        self._problem = registry.problem(instances[0].problem)
        self._forecast = forecast
        self._agent = kind(past_slots=past_slots, ahead_slots=ahead_slots)
        self.features, self.controls = self._agent.features, kind.controls
        box = gymnasium.spaces.Box
        self.observation_space = box(0.0, LARGEST, (len(self.features),), np.float32)
        self.action_space = box(0.0, 1.0, (len(self.controls),), np.float32)
        self._seen: Observation | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[View, dict[str, Any]]:
        """Begin an episode.

        Parameters
        ----------
        seed
            Seed of the instances that are drawn and of forecast noise, from here on.
        options
            ``{"instance": number}`` chooses the instance of this episode.

        Raises
        ------
        UsageError
            An unknown option or number of an instance.
        """
        super().reset(seed=seed)
        chosen = self._choice(dict(options or {}))
        instance = self.instances[chosen]
        # Drawn also where it decides nothing, so that what follows does not depend on the forecast.
        noise = int(self.np_random.integers(2**31))
        source = None
        if self.ahead_slots:
            source, _ = forecast_of(self._problem, instance, self._forecast, noise)
        self._instance, self._seed = instance, noise
        self._room: Any = self._problem.environment(
            instance, granted=self._agent.needs, forecast=source
        )
        self._agent.reset(self._room.header)
        self._spent = 0.0
        self._started = time.perf_counter()
        self._seen = self._room.observe()
        if self._seen is None:
            raise UsageError(f"There is nothing to decide in {instance.name}.")
        return self._agent.view(self._seen), {"instance": instance.name}

    def step(self, action: ArrayLike) -> tuple[View, float, bool, bool, dict[str, Any]]:
        """Run a slot.

        Raises
        ------
        UsageError
            There is no episode, or the action is not the numbers of the action space.
        SolverError
            The rewards of the episode are not minus the audited total.
        """
        before = self._seen
        if before is None:
            raise UsageError("No episode is running. Fix: call reset() first.")
        self._agent.told = action
        self._room.act(self._agent.decide(before))
        self._seen = after = self._room.observe()
        spent = self.kind.spent(self._room, before, after)
        self._spent += spent
        info: dict[str, Any] = {}
        if after is None:
            info["plan"] = self._plan()
            # At the end nothing is left to decide: what was last seen stays.
            return self._agent.view(before), -spent, True, False, info
        return self._agent.view(after), -spent, False, False, info

    def _choice(self, options: dict[str, Any]) -> int:
        drawn = int(self.np_random.integers(len(self.instances)))
        chosen = options.pop("instance", drawn)
        for name in options:
            raise UsageError.unknown("option of reset", str(name), ("instance",))
        if not (isinstance(chosen, int | np.integer) and 0 <= chosen < len(self.instances)):
            most = len(self.instances) - 1
            raise UsageError(f"The instance is {chosen}; allowed: a number from 0 to {most}.")
        return int(chosen)

    def _plan(self) -> Plan:
        """The audited plan of the episode, which must cost what the rewards said."""
        instance = self._instance
        tables = self._problem.decisions(self._room)
        plan = Plan(
            problem=instance.problem,
            instance=instance.name,
            fingerprint=instance.fingerprint,
            maker=self._agent.name,
            status="feasible",
            bound=None,
            tables=tables,
            audit=self._problem.audit(instance, tables),
            provenance=Provenance(
                self._agent.summary, time.perf_counter() - self._started, seed=self._seed
            ),
        )
        if not abs(self._spent - plan.objective) <= _ROUNDING * abs(plan.objective):
            raise SolverError(
                f"The rewards of an episode of {instance.name} sum to {-self._spent:.12g}, but its "
                f"plan costs {plan.objective:.12g}."
            )
        return registry.bind(instance, plan)

"""Instances as environments of Gymnasium, and what has been learnt there as a policy.

An episode is a run of an instance under a policy, slot by slot. The reward of a step is minus what
the slot costs, so that the sum of the rewards is minus the audited total of the plan that the
episode makes. That is checked at the end of every episode: a reward that differed from the audit
would teach something else than what is judged.

Nothing of the future is in an observation that a policy could not see: it is made from a policy's
observation alone (`optmodels.interop.agents`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from optmodels.errors import MissingExtraError, UsageError
from optmodels.forecast import Forecast
from optmodels.instance import Instance
from optmodels.interop.agents import AGENTS, Act, Agent

if TYPE_CHECKING:
    from optmodels.interop.episodes import InstanceEnv


def environment(
    instances: Instance | Sequence[Instance],
    *,
    forecast: str | Forecast | ArrayLike | None = None,
    past_slots: int = 24,
    ahead_slots: int = 24,
) -> InstanceEnv:
    """Environment of Gymnasium around one instance, or several of one problem.

    Parameters
    ----------
    instances
        Of `scaling.job` or `scaling.cluster`. Of several each episode takes one: the one that
        ``reset(options={"instance": number})`` names, else a random one.
    forecast
        What is seen ahead, as in `optmodels.compare`; noise is drawn anew in each episode.
    past_slots, ahead_slots
        Slots of carbon intensity before this one, and of the forecast after it, that are seen.
        Without any slots ahead no forecast is needed.

    Returns
    -------
    InstanceEnv
        A ``gymnasium.Env``. Observations are numbers from 0 to 4, named by ``env.features``;
        actions are numbers from 0 to 1, named by ``env.controls``; rewards are in the unit of the
        instance's cost. The step that ends an episode has the audited plan in ``info["plan"]``.

    Raises
    ------
    MissingExtraError
        Gymnasium is not installed (extra "learning").
    UsageError
        A problem without such an environment, instances of different problems, sizes below 0.
    """
    given = (instances,) if isinstance(instances, Instance) else tuple(instances)
    problems = sorted({instance.problem for instance in given})
    if len(problems) != 1:
        raise UsageError(
            f"An environment is of one problem; given: {', '.join(problems) or 'no instance'}. "
            "Fix: make one for each problem."
        )
    for name in problems:
        if name not in AGENTS:
            raise UsageError.unknown("problem with an environment", name, AGENTS)
    for name, slots in (("past_slots", past_slots), ("ahead_slots", ahead_slots)):
        if not (isinstance(slots, int) and slots >= 0):
            raise UsageError(f"{name} is {slots}; allowed: a whole number from 0.")
    try:
        from optmodels.interop.episodes import InstanceEnv
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "gymnasium":
            raise
        raise MissingExtraError("gymnasium", "learning", "An environment for learners") from None
    return InstanceEnv(
        given,
        kind=AGENTS[problems[0]],
        forecast=forecast,
        past_slots=past_slots,
        ahead_slots=ahead_slots,
    )


def learnt(act: Act, env: Any, *, name: str = "learnt") -> Agent:
    """Policy that asks what has been learnt in an environment.

    Parameters
    ----------
    act
        From an observation of the environment to an action, such as
        ``lambda seen: model.predict(seen, deterministic=True)[0]``.
    env
        The environment, wrapped or not; wrappers that change observations or actions have to be
        part of `act`.
    name
        Name of the policy in comparisons.

    Returns
    -------
    Agent
        A policy for `optmodels.compare`, for any instance of the problem.

    Raises
    ------
    UsageError
        The environment is not one of `environment`.
    """
    inner = getattr(env, "unwrapped", env)
    kind = getattr(inner, "kind", None)
    if not (isinstance(kind, type) and issubclass(kind, Agent)):
        raise UsageError(
            f"A {type(inner).__name__} is no environment of optmodels. Fix: give what "
            "optmodels.interop.environment has made."
        )
    return kind(act, past_slots=inner.past_slots, ahead_slots=inner.ahead_slots, name=name)

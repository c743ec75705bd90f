"""Reference optimum: the plain linear program over shares of time on levels, solved by HiGHS."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

ON_OFF = ([0.0, 1.0], [0.0, 1.0], [0.0, 1.0])
"""Profile of a job with one rate: off, and on."""


def mixing_lp(costs, servers, throughput, power, *, switching, work, cap=None, running=0.0):
    """Least cost of doing exactly `work`; None when the solver finds no plan.

    The job comes from `running` servers and ends switched off. Variables are the shares, slot by
    slot, then the server changes up and down of T + 1 ramps.
    """
    c, n, theta, p = (np.asarray(a, dtype=float) for a in (costs, servers, throughput, power))
    slots, levels = len(c), len(n)
    ramp = sparse.diags([1.0, -1.0], [0, -1], shape=(slots + 1, slots))
    change = sparse.kron(ramp, n[None, :])
    eye = sparse.eye(slots + 1)
    nothing = sparse.csr_matrix((slots, 2 * (slots + 1)))
    done = sparse.csr_matrix(np.concatenate([np.tile(theta, slots), np.zeros(2 * (slots + 1))]))
    in_slot = sparse.eye(slots)
    rows = [sparse.hstack([sparse.kron(in_slot, np.ones((1, levels))), nothing])]
    limits = [np.ones(slots)]
    if cap is not None:
        rows.append(sparse.hstack([sparse.kron(in_slot, n[None, :]), nothing]))
        limits.append(np.full(slots, cap))
    answer = linprog(
        np.concatenate([np.kron(c, p), np.full(2 * (slots + 1), switching)]),
        A_ub=sparse.vstack(rows).tocsr(),
        b_ub=np.concatenate(limits),
        A_eq=sparse.vstack([sparse.hstack([change, -eye, eye]), done]).tocsr(),
        b_eq=np.concatenate([[running], np.zeros(slots), [work]]),
        bounds=(0, None),
        method="highs",
    )
    return answer.fun if answer.status == 0 else None

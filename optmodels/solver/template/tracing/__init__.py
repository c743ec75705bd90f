"""Every touch of Pyomo's inside: tracing rules, and reading what an AbstractModel declares.

A rule is traced once, with placeholders in place of indices; what comes out is an expression tree
over `IndexTemplate`s, sums over sets, and references to components (`nodes`). The model is copied
and emptied for it (`declared`); while a rule runs, what only data could answer ends the trace
(`context`); `rules` says what each kind of component has to be traced.

Pyomo keeps most of this private. All names that are not its public interface are used in this
package and nowhere else; `tests/solver/test_tracing.py` has a test for each.
"""

from .declared import (
    Declarations,
    DeclaredParameter,
    DeclaredSet,
    declarations,
    fingerprint,
    prepare,
)
from .nodes import (
    QUESTIONS,
    GetItemExpression,
    IndexTemplate,
    NotTraceableError,
    TemplateSumExpression,
    Trace,
    is_product,
    own_members,
    parts,
    relations,
    sum_groups,
    summand,
    template_key,
)
from .rules import bounds_of, constraints, domain_of, named_expression, objective, trace, variables

__all__ = [
    "QUESTIONS",
    "Declarations",
    "DeclaredParameter",
    "DeclaredSet",
    "GetItemExpression",
    "IndexTemplate",
    "NotTraceableError",
    "TemplateSumExpression",
    "Trace",
    "bounds_of",
    "constraints",
    "declarations",
    "domain_of",
    "fingerprint",
    "is_product",
    "named_expression",
    "objective",
    "own_members",
    "parts",
    "prepare",
    "relations",
    "sum_groups",
    "summand",
    "template_key",
    "trace",
    "variables",
]

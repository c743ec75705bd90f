"""The template compiler: from a declarative formulation and arrays to a linear model."""

from .data import instance_of
from .formulation import Formulation
from .program import Program
from .tracing import NotTraceableError

__all__ = ["Formulation", "NotTraceableError", "Program", "instance_of"]

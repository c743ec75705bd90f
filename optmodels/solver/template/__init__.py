"""The template compiler: from a declarative formulation and arrays to a linear model."""

"""Problems of scaling computation over time."""

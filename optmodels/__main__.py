"""``python -m optmodels`` is the command line."""

from optmodels.cli import main

main()

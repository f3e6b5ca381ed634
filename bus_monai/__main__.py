"""``python -m bus_monai``."""

from bus_monai.cli.main import main

main()

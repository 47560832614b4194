"""`python -m ki67 …`: see `ki67/cli.py`."""

import sys

from ki67.cli import main

sys.exit(main())

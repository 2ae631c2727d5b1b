"""`python -m saetask` is the command `saetask`."""

import sys

from saetask.cli import main

sys.exit(main())

"""`python -m saetask` is the command `saetask`."""

import sys

from saetask.cli.main import main

sys.exit(main())

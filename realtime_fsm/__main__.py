"""``python -m realtime_fsm`` is the command ``realtime-fsm``."""

import sys

from realtime_fsm.cli.main import main

sys.exit(main())

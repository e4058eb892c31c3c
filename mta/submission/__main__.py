"""`python -I -m mta.submission NAME ARGUMENT...`; the installed programs have it quicker."""

import sys

from mta.submission.main import main

raise SystemExit(main(sys.argv[1:]))

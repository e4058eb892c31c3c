"""One module or package a daemon; they meet on sockets only.

While `python -m` imports a daemon's modules the collector is off: nothing of them becomes garbage,
and looking through all of them again and again is a fifteenth of a cold start. The skeleton
(mta.master.daemon) switches it on. Whoever imports a daemon's module otherwise sees no difference.
"""

import gc
import sys

if sys.argv[0] == "-m":  # that is so while the main program is being looked for
    gc.disable()

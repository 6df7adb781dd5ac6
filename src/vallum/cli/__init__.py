"""The command line: one command a file, thin."""

import os

# Arithmetic runs in one thread of ours: more of them would take the cores from requests.  Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

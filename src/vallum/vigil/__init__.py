"""The watches of a process on duty: in step with other processes, swept off the event loop, kept over restarts.

vigil      all watches: what is due, and when
post       one watch, and what it takes: a file, a part among others
replica    one process's part in a watch that several keep
"""

from vallum.vigil.vigil import Vigil

__all__ = ["Vigil"]

"""Stands in front of pytriton's proxy/data.py, which Triton's Python stub runs.

The stub of pytriton 0.7.0 carries a libpython older than 3.11.7, whose RLock lacks `_recursion_count`, which the
resource tracker of the standard library beside it calls.
"""

import _thread

if not hasattr(_thread.RLock, "_recursion_count"):
    import threading
    from multiprocessing import resource_tracker

    class CountingLock:
        def __init__(self):
            self.lock = threading.RLock()
            self.held = 0

        def acquire(self, *arguments, **named):
            taken = self.lock.acquire(*arguments, **named)
            self.held += bool(taken)
            return taken

        def release(self):
            self.held -= 1
            self.lock.release()

        __enter__ = acquire

        def __exit__(self, *error):
            self.release()

        def _recursion_count(self):
            return self.held if self.lock._is_owned() else 0

    resource_tracker._resource_tracker._lock = CountingLock()

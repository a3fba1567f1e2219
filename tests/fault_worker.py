"""`kill_worker` with one more scheme: no vendor in the package is known to have one session per user."""

import kill_worker
from asyncauth import schemes
from fault_kinds import OneSession

schemes.__dict__["OneSession"] = OneSession

if __name__ == "__main__":
    kill_worker.main()

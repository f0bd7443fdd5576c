"""This proxy beside HAProxy and nginx, in one run on one machine: `make bench`, or `python -m benchmarks --help`.

* `model.py` is what is measured and what comes of it; `workloads.py` lists all of it with its targets.
* `machines.py`, `processes.py`, `proxies.py`, `loads.py`, `clients.py` make things happen.
* `schedule.py`, `parsing.py`, `judge.py` are pure, and tested in tests/benchmarks/.
* `report.py` and `plots.py` tell; `runner.py` goes through it all.
"""

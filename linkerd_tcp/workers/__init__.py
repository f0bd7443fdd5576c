"""Several processes that are one proxy: a supervisor that holds what must survive, workers that serve, one for admin.

`supervisor` is what the command becomes; `worker` is what serves; `front` is the admin process, which asks the workers
(`gather`) and makes one answer of theirs (`merge`, `sums`).
"""

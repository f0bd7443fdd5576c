"""The control plane: namerd's HTTP API, served.

Stores keep dtabs by namespace (`storage` says what one is; `memory`, and `files` with the modules that it uses).
`namespaces` has an interpreter for each that somebody asks about, `topic` what is watched, once for all who watch it,
`kinds` what can be, `control` all of it. `api` puts the routes together (`dtab_routes`, `name_routes`, `delegations`,
with `inputs` and `answers`), `server` serves them.
"""

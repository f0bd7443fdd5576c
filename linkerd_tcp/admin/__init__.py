"""The admin server: pages, JSON and metrics for people, scrapers and probes, over HTTP.

`server` puts the Flask app that `web` makes on an HTTP server of `linkerd_tcp.web`; `reads`, `delegator` and `actions`
answer; `overview` is what the first page shows; `controls` is what all of it needs of the program.
"""

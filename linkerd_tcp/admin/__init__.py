"""The admin server: pages, JSON and metrics for people, scrapers and probes, over HTTP.

`server` is gevent's pywsgi with bounds and deadlines; `web` makes the Flask app; `guard` says who may ask what;
`reads`, `delegator` and `actions` answer; `overview` is what the first page shows; `controls` is what all of it needs
of the program.
"""

"""What every HTTP server of ours needs: admin's and namerd's.

`server` is gevent's pywsgi with bounds and deadlines, `handler` one connection of it, over TLS where that is spoken,
`gate` lets requests in one by one; `app` puts a Flask app behind
the guard and every error in words; `guard` says who may ask what; `inputs` reads what a request brings; `streams`
writes long answers, `following` those without end.
"""

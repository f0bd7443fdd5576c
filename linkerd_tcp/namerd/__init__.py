"""namerd's HTTP API as a client: names bound and followed there, by watching or by polling.

`options` is the configuration that the kinds share, `dial` a connection, `http` one request, `follower` one name asked
again and again, `names` what is known of a name, `client` all of it. Only a kind that asks namerd imports requests.
"""

"""Names: what a connection asks for, and how that becomes addresses. Pure: no socket, clock, log or chance in here.

path        `/svc/web`: what a connection is for, or a place on the way to its addresses
dtab        entries `prefix => tree` that rewrite paths; the last one that matches is tried first
name tree   how several names make one: alternatives `|`, weighted unions `&`, and the ends `~ ! $`
namer       what a path below `/#/` or `/$/` is looked up in: files, DNS, ...
bound name  the end of the way: an id (`/#/io.l5d.fs/web`), live addresses, and the residual path
binding     a path's tree of bound names, or that it is pending or failed
delegation  the same way with every step and alternative, for people
watch       a value that changes and tells its observers; pushed, never polled
"""

from linkerd_tcp.naming.addr import Addr, Address, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.bind import MAX_DEPTH
from linkerd_tcp.naming.delegate import DelegateTree
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found, Name
from linkerd_tcp.naming.namer import Interpreter, Namer
from linkerd_tcp.naming.nametree import NameTree, choose
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.pattern import PathPattern, substitute
from linkerd_tcp.naming.watch import Var, Watch

__all__ = [
    "MAX_DEPTH",
    "Addr",
    "Address",
    "Binding",
    "Bound",
    "BoundName",
    "DelegateTree",
    "Dentry",
    "Dtab",
    "Failed",
    "Found",
    "Interpreter",
    "Name",
    "NameTree",
    "Namer",
    "Neg",
    "Path",
    "PathPattern",
    "Pending",
    "Var",
    "Watch",
    "choose",
    "substitute",
]

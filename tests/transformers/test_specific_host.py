from linkerd_tcp.naming.addr import NEG
from linkerd_tcp.naming.nametree import Leaf, leaves
from linkerd_tcp.naming.path import Path
from tests.transformers.conftest import BuildInterpreter, Inner, bound
from tests.transformers.test_wrapped import SVC, name

HOST = {"kind": "io.l5d.specificHost", "host": "10.0.0.1"}


def test_only_the_host_s_addresses_are_left(inner: Inner, interpreter: BuildInterpreter) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1*0.5", "10.0.0.2:1", "10.0.0.1:2", zone="a"))
    inner.set("/web", Leaf(source))
    watch = interpreter("/svc => /#/inner", HOST).bind(SVC)
    [found] = leaves(watch.value)  # type: ignore[arg-type]
    assert str(found.id) == "/%/io.l5d.specificHost/#/inner/web"
    assert found.addr.value == bound("10.0.0.1:1*0.5", "10.0.0.1:2", zone="a")
    watch.close()


def test_none_left_is_neg_at_a_leaf_that_stays_so_that_no_fallback_is_taken(
    inner: Inner, interpreter: BuildInterpreter
) -> None:
    inner.set("/web", Leaf(name("/#/inner/web", bound("10.0.0.2:1"))))
    inner.set("/other", Leaf(name("/#/inner/other", bound("10.0.0.1:1"))))
    watch = interpreter("/svc => /#/inner/web | /#/inner/other", HOST).bind(Path.read("/svc"))
    [found] = leaves(watch.value)  # type: ignore[arg-type]
    assert str(found.id) == "/%/io.l5d.specificHost/#/inner/web"
    assert found.addr.value == NEG
    watch.close()


def test_a_host_is_the_same_however_it_is_written(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", Leaf(name("/#/inner/web", bound("::1:80", "127.0.0.1:80"))))
    for text, left in (("0:0::1", "::1:80"), ("127.1", "127.0.0.1:80")):
        watch = interpreter("/svc => /#/inner", HOST | {"host": text}).bind(SVC)
        [found] = leaves(watch.value)  # type: ignore[arg-type]
        assert found.addr.value == bound(left)
        watch.close()

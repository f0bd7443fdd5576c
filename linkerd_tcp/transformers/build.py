"""Namers and interpreters as the file has them, with their transformers behind them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import Interpreter, InterpreterContext, Namer, NamerContext
from linkerd_tcp.naming.transformer import Transformer, TransformerContext
from linkerd_tcp.transformers.wrapped import TransformedInterpreter, TransformedNamer


def build_namer(config: Any, context: NamerContext, utilities: Namer) -> Namer:
    """The namer that `config` describes; it watches nothing before `start`."""
    namer: Namer = config.build(context)
    if not _transformers(config):
        return namer
    concrete = DefaultInterpreter(Dtab(), (), utilities)
    return TransformedNamer(namer, _build(config, concrete, namer.close))


def build_interpreter(config: Any, context: InterpreterContext) -> Interpreter:
    """The interpreter that `config` describes."""
    interpreter: Interpreter = config.build(context)
    if not _transformers(config):
        return interpreter
    concrete = DefaultInterpreter(Dtab(), context.namers, context.utilities)
    return TransformedInterpreter(interpreter, _build(config, concrete, interpreter.close))


def asks_namers(config: Any) -> bool:
    """Whether the interpreter that `config` describes asks the namers of the file, by itself or in a transformer."""
    return bool(config.uses_namers) or any(getattr(each, "uses_namers", False) for each in _transformers(config))


def _transformers(config: Any) -> tuple[Any, ...]:
    transformers: tuple[Any, ...] = getattr(config, "transformers", ())  # a package's own kind need not have any
    return transformers


def _build(config: Any, concrete: DefaultInterpreter, undo: Callable[[], None]) -> list[Transformer]:
    context = TransformerContext(concrete.bind)  # what they bind is theirs to close
    built: list[Transformer] = []
    with ExitStack() as undone:  # unless all of them can be built
        undone.callback(undo)
        for each in _transformers(config):
            built.append(each.build(context))
            undone.callback(built[-1].close)
        undone.pop_all()
    return built

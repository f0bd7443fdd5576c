"""`io.l5d.fs`: the dtab of a file that is followed live, and the router's own entries behind it, over the namers of the
file.
"""

from collections.abc import Sequence
from typing import Final, Literal

from linkerd_tcp.config.fields import FilePath
from linkerd_tcp.config.interpreters import InterpreterOptions
from linkerd_tcp.config.origin import Written
from linkerd_tcp.errors import StartError
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.interpreters.dtab_file import DtabFile, DtabFileError, read_dtab_file
from linkerd_tcp.naming.delegate import DelegateTree
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding
from linkerd_tcp.naming.namer import Discovery, InterpreterContext
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.turns import Turns

KIND: Final = "io.l5d.fs"


class FileConfig(InterpreterOptions):
    """The dtab of a watched file."""

    kind: Literal["io.l5d.fs"] = KIND
    dtab_file: FilePath
    """Its entries come before the router's dtab, whose entries therefore win."""

    def problems(self) -> list[str]:
        """What is wrong with the file, one line or none; reads it."""
        try:
            read_dtab_file(str(self.dtab_file), str(self.dtab_file))
        except DtabFileError as error:
            return [str(error)]
        return []

    def build(self, context: InterpreterContext) -> "FileInterpreter":
        """The interpreter, which follows the file from here on; StartError where that is no dtab (any more)."""
        return FileInterpreter(str(self.dtab_file), context)


class FileInterpreter:
    """Binds as the default interpreter does, through the dtab that is in `file` now and the context's dtab after it.

    A change of the file is applied to every open binding when it comes. A bad or missing file changes nothing: the
    last good entries are kept, never none instead.
    """

    kind = KIND

    def __init__(self, file: str, context: InterpreterContext) -> None:
        self._wins = context.dtab
        self._file = DtabFile(file, KIND, Path((KIND, context.label)), self._follow)
        try:
            dtab = self._file.start()
        except DtabFileError as error:
            raise StartError(str(error)) from None
        self._inner = DefaultInterpreter(dtab + self._wins, context.namers, context.utilities)

    @property
    def sources(self) -> Sequence[Discovery]:
        return (self._file,)

    @property
    def dtab(self) -> Dtab:
        return self._inner.dtab

    @property
    def written(self) -> Written:
        """The file as it was when it was good last, without the router's own entries."""
        return Written(self._file.text, self._file.file)

    def instead(self, dtab: Dtab) -> DefaultInterpreter:
        """One that goes by `dtab` alone, over the same namers; the caller closes it."""
        return self._inner.instead(dtab)

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        return self._inner.bind(path, extra)

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        return self._inner.delegate(path, extra)

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        return self._inner.delegation(path, extra)

    def close(self) -> None:
        self._file.close()
        self._inner.close()

    def _follow(self, dtab: Dtab) -> None:
        self._inner.set_dtab(dtab + self._wins, rest=Turns().rest)

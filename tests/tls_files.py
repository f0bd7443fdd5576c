"""Keys and certificates for tests, made by openssl: an authority, and what it signs."""

import subprocess
from pathlib import Path

from tests.programs import program


class Authority:
    """A certificate authority in `folder`; every file is PEM."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.cert = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2",
            "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.cert,
        )  # fmt: skip

    def sign(self, name: str, *sans: str, file: str | None = None, days: int = 2) -> tuple[Path, Path]:
        """(key, certificate) files for `name`, with the given subjectAltNames or its own name as the only one."""
        stem = file or name.replace("*", "any")
        key, request, cert = (self.folder / f"{stem}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self.folder / f"{stem}.ext"
        extensions.write_text("subjectAltName=" + ",".join(sans or (f"DNS:{name}",)) + "\n")
        self._openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            f"x509 -req -days {days} -CAcreateserial",
            "-in", request, "-CA", self.cert, "-CAkey", self._key, "-extfile", extensions, "-out", cert,
        )  # fmt: skip
        return key, cert

    @staticmethod
    def _openssl(words: str, *more: object) -> None:
        subprocess.run([program("openssl"), *words.split(), *map(str, more)], check=True, capture_output=True)

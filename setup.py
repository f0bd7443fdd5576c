"""`pip install .` gives the `linkerd-tcp` command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "linkerd_tcp" / "__init__.py").read_text())
assert VERSION is not None

setup(
    name="linkerd-tcp",
    version=VERSION[1],
    description="A TCP load balancer and stream router configured by one YAML file",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["linkerd_tcp", "linkerd_tcp.*", "namers", "namers.*"]),
    package_data={"linkerd_tcp.admin": ["templates/*", "static/*"], "linkerd_tcp": ["py.typed"], "namers": ["py.typed"]},
    entry_points={"console_scripts": ["linkerd-tcp = linkerd_tcp.__main__:main"]},
    install_requires=[
        "gevent>=24.10",
        "pyyaml>=6",
        "watchdog>=4",
        "flask>=3",
        "prometheus-client>=0.20",
        "requests>=2.31",
        "cryptography>=42",
        "pydantic>=2.11",
    ],
    extras_require={
        "test": ["pytest>=8", "hypothesis>=6.100", "ruff>=0.9", "mypy>=1.13", "types-PyYAML", "psutil>=5.9"],
    },
)

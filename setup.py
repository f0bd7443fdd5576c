"""`pip install .` gives the `linkerd-tcp` command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "linkerd_tcp/__init__.py").read_text("utf-8"), re.MULTILINE)
assert VERSION is not None, "linkerd_tcp/__init__.py has no __version__"
README = HERE / "README.md"

setup(
    name="linkerd-tcp",
    version=VERSION[1],
    description="A TCP load balancer and stream router, configured by one YAML file",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["load balancer", "tcp", "proxy", "linkerd", "service discovery", "gevent"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: Proxy Servers",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["linkerd_tcp", "linkerd_tcp.*", "namers", "namers.*"]),
    package_data={
        "linkerd_tcp": ["py.typed"],
        "linkerd_tcp.dashboard": ["templates/*", "static/*"],
        "linkerd_tcp.demo": ["*.yml"],
        "namers": ["py.typed"],
    },
    zip_safe=False,
    entry_points={"console_scripts": ["linkerd-tcp = linkerd_tcp.__main__:main"]},
    install_requires=[
        "gevent>=24.10",
        "pyyaml>=6",
        "watchdog>=4",
        "flask>=3",
        "prometheus-client>=0.20",
        "requests>=2.31",
        "urllib3>=2.2",  # what requests uses; read1 is asked of it
        "cryptography>=42",
        "pydantic>=2.11",
        "dnspython>=2.6",
    ],
    extras_require={
        # For the tests of plug-ins: linkerd_tcp.testing.
        "testing": ["pytest>=8", "hypothesis>=6.100"],
        "bench": ["matplotlib>=3.8", "psutil>=5.9", "pytest>=8", "pytest-benchmark>=5"],
        "test": [
            "pytest>=8",
            "hypothesis>=6.100",
            "ruff>=0.9",
            "mypy>=1.13",
            "types-PyYAML",
            "types-requests",
            "psutil>=5.9",
            "matplotlib>=3.8",  # the plots of the benchmark
            "jsonschema>=4.20",
            # They drive a Chromium that is installed; neither brings one, and nothing is fetched when they run.
            "playwright>=1.50",
            "axe-playwright-python>=0.1.4",
            "setuptools>=70.1",  # from there on it builds wheels by itself: pip installs the example plug-ins with it
            # Oracles: what they say to the corpus is written down beside it, so their versions are fixed.
            "aiosmtpd==1.4.6",
            "proxy-protocol==0.11.3",
        ],
    },
)

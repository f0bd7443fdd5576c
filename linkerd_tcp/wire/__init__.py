"""Protocols as bytes: parsers and builders that know no socket, clock or log.

Each parser answers `Parsed`, `Incomplete(need)` or raises `WireError` (`wire.parsing`), so all of them are tested and
fuzzed with plain bytes. Imports only `errors`.
"""

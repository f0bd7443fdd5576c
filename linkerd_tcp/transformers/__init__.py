"""Transformers: what a namer, or an interpreter, has found is changed before it is used.

`build` makes namers and interpreters with theirs, `wrapped` is what stands around them, `addresses` is the base of
those that change addresses only; every other module here is one kind.
"""

"""Compiling networks with TVM, in a process of its own.

The package imports nothing heavy: TVM, 300 MB of it, is loaded by the worker process only.
"""

"""The benchmarks: the real server beside limits that do only the bare work, all in one run.

``python -m bench [--only NAME] [--quick]``. Nothing here is imported by the product.
"""

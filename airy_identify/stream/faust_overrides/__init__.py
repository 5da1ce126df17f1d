"""Every place that reaches into Faust's internals, each with its reason. Pinned to faust-streaming 0.15.3.

`tests/unit/stream/test_faust_overrides.py` fails when a new version changes what is relied on here.
"""

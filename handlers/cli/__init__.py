"""The commands of ``run.py``: each module adds its own with ``add_commands`` and answers on standard output."""

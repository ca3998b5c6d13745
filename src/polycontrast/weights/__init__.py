"""The shipped model: any2any.safetensors (in half precision), config.json, and README.md, its card. Data, no code.

`runs.shipped` finds the folder, `python -m polycontrast.workflows.ship` fills it.
"""

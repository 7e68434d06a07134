"""How neural networks generalize to inputs that training never showed.

The rooms: `boolean` analyses functions on {-1, +1}^n, `tasks` say what to learn, `models` with
what, `training` trains many replicas and keeps them, `analysis` measures what was learned,
`reporting` shows it. Importing this package imports none of them, and not JAX.

Raises ImportError on Windows; one line that says what to use there.
"""

import sys

__version__ = "0.1.0"

if sys.platform == "win32":
    _complaint = (
        "platform: given Windows; allowed Linux, macOS: on Windows use WSL, the Linux inside it: "
        "wsl --install"
    )
    if sys.argv[:1] == ["-m"]:  # `python -m experiments.main` on its way to the command
        print(f"error: {_complaint}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(_complaint)

#!/usr/bin/env python3
"""Set-up and Django's commands, on a bare Python: `python3 manage.py quickstart`."""

import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))


def python311():
    """Path of a Python 3.11 that runs, or None. (A pyenv shim may exist and not run.)"""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    known = [os.path.join(ROOT, ".venv", "bin", "python"), "python3.11"]
    known += sorted(glob.glob(os.path.join(pyenv, "versions", "3.11*", "bin", "python3.11")))
    known += ["/usr/bin/python3.11", "/usr/local/bin/python3.11"]
    test = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
    for path in known:
        try:
            with open(os.devnull, "w") as null:
                if subprocess.call([path, "-c", test], stdout=null, stderr=null) == 0:
                    return path
        except OSError:
            pass
    return None


if __name__ == "__main__":
    if sys.version_info[:2] != (3, 11):
        python = python311()
        if python is None:
            sys.exit("error: Python 3.11 is needed and no python3.11 was found: install it")
        command = [python, os.path.join(ROOT, "manage.py")]
        command += sys.argv[1:]
        os.execvp(python, command)
    sys.path.insert(0, ROOT)
    from rbr_app.bootstrap import main

    main(sys.argv)

"""Scripts that tests start are no tests, and need an environment."""

collect_ignore_glob = ["*_child.py"]

"""The suite: one command dreams other people's environments, trains an agent in each dream and tests it in reality."""

from nova_gym.benchmarks.suite.rows import ROWS, Row, Teacher
from nova_gym.benchmarks.suite.runner import PARTS, Settings, run_part, write_row

__all__ = ["PARTS", "ROWS", "Row", "Settings", "Teacher", "run_part", "write_row"]

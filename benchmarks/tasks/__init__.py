"""Tasks: what a backbone is measured on. Each is a small class; more are added by :func:`register_task`."""

from __future__ import annotations

from benchmarks.tasks.registry import get_task, register_task, task_names
from benchmarks.tasks.task import Assignment, DataSource, Outcome, Subject, Task

__all__ = ["Assignment", "DataSource", "Outcome", "Subject", "Task", "get_task", "register_task", "task_names"]

"""The harness: suites, protocols, plan, run, store, statistics, tables, report and the command line ``naswild``.

Public face: :func:`benchmarks.run.run_suite`, :mod:`benchmarks.store` and, for your own tasks,
:func:`benchmarks.tasks.register_task`.
"""

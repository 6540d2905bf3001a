"""What tests of every part may ask for."""

import multiprocessing

import pytest


@pytest.fixture
def in_a_process_of_its_own():
    """Call a function in a forked process, and fail if it does.

    For ``torch.compile``: a backward pass of what it made starts threads of the autograd engine, after which no process
    that is forked from this one could compute gradients, and tests of several processes fork.
    """

    def call(function):
        child = multiprocessing.get_context("fork").Process(target=function)
        child.start()
        child.join(200)
        assert child.exitcode == 0, "failed in its own process; its traceback is in the captured output"

    return call

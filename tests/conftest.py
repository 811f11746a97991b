"""What every test shares: one thread per worker, figures that open no window, and no quiet skips in CI."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    try:
        import torch
    except ModuleNotFoundError:  # the site's tests run without it
        return
    torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile` the tests of a file stay with one worker, for they share fixtures.

    Not so the hidden answers: each runs a whole chapter, and all of them would keep one worker busy long after the
    other has nothing left to do. (xdist has `--dist loadgroup` for this, which pytest 9.2 leaves without effect.)
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return nodeid if file.endswith("test_hidden_answers.py") else file

    return ByFile(config, log)


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a missing tool, and a missing tool is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == 0:
        for report in skipped:
            reporter.write_line(f"skipped in CI: {report.nodeid}: {report.longrepr}", red=True)
        session.exitstatus = 1

"""Imported once by the server that forks the graders: it does what each of them would do again, for seconds."""

from __future__ import annotations

import warnings

import nbconvert.exporters
import nbformat
import nbgrader.api
import nbgrader.converters
import sqlalchemy.orm
import zmq.asyncio  # noqa: F401
from nbformat.v4 import new_code_cell, new_notebook

from genbook.cli import grade_report, grade_run  # noqa: F401

__all__: list[str] = []

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    nbformat.validate(new_notebook(cells=[new_code_cell("")]))  # compiles the schema
    sqlalchemy.orm.configure_mappers()
    nbgrader.converters.Autograde()
    nbconvert.exporters.NotebookExporter(), nbconvert.exporters.HTMLExporter()

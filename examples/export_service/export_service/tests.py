"""Does the platform hear of every task? ``python -m unittest export_service/tests.py`` says."""

from cadasta.workertoolbox.tests import build_functional_tests

from .celery import app

FunctionalTests = build_functional_tests(app)

"""What users' tests and Headway's own share."""

from headway.testing.trial import Trial, trial

__all__ = ["Trial", "trial"]

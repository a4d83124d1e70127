"""What users' tests and Headway's own share."""

from headway.testing.steps import StepTrial, trial_step
from headway.testing.trial import Trial, trial

__all__ = ["StepTrial", "Trial", "trial", "trial_step"]

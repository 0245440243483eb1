"""The doctor: looks at all the pipeline stands on, and names each trouble with the command that mends it."""

from msgctl.operations.doctor.finding import Finding, Level
from msgctl.operations.doctor.round import Doctor

__all__ = ["Doctor", "Finding", "Level"]

# SPDX-License-Identifier: BSD-3-Clause
"""Errors and warnings with a meaning of their own; everything else is a ``ValueError``."""

from __future__ import annotations

__all__ = [
    "ClippedTemplateWarning",
    "ConstraintError",
    "DominantEventWarning",
    "GradientsUnavailableError",
    "IncompleteInputError",
    "Interrupted",
    "LowStatisticsWarning",
    "MissingExtraError",
    "NetworkWarning",
    "NotCertifiableError",
    "RegionWarning",
    "ReportNotWrittenError",
    "UnreadableFileError",
    "WorkerLostError",
]


class MissingExtraError(ImportError):
    """
    An optional dependency is needed and absent.

    Parameters
    ----------
    package : str
        Name of the missing package, such as ``pythia8mc``.
    extra : str
        Extra of this package that installs it, such as ``samples``.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed; install it with: pip install 'hepfool[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Rebuild from the two arguments, so that the error crosses a worker."""
        return type(self), (self.package, self.extra)


class GradientsUnavailableError(TypeError):
    """A gradient attack met a classifier that only gives scores."""


class NotCertifiableError(TypeError):
    """A classifier has a part of which nothing can be proved."""


class ConstraintError(RuntimeError):
    """An attack returned a value outside of what it had promised to respect."""


class IncompleteInputError(RuntimeError):
    """Fewer events were processed than the input files hold."""


class UnreadableFileError(ValueError):
    """A file is damaged, truncated or empty."""


class Interrupted(KeyboardInterrupt):
    """A run was stopped before it was complete, by Ctrl-C or a signal; the same call resumes from what it kept."""


class WorkerLostError(RuntimeError):
    """A worker died or ran out of memory, or the cluster went away."""


class ReportNotWrittenError(OSError):
    """A report could not be written where it should; the message says where it is instead."""


class LowStatisticsWarning(UserWarning):
    """Too few events for the stated caps to mean what they say."""


class NetworkWarning(UserWarning):
    """A network is probably not what it was said to be, or nothing about it could be attacked."""


class DominantEventWarning(UserWarning):
    """One event carries so much of the weight that it decides sums nearly alone."""


class ClippedTemplateWarning(UserWarning):
    """A varied distribution would be negative somewhere and was set to zero."""


class PlainTextWarning(UserWarning):
    """A label cannot be set by Matplotlib, and stands in the figures as it is."""


class RegionWarning(UserWarning):
    """An iteration was given up, because its moves took more and more events out of a region."""

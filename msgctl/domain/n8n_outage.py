"""The errors of an n8n that answers, itself or through a proxy, that it is down."""

from enum import StrEnum

from msgctl.domain.errors import AttemptFailed, FaultClass, WorkflowUnreachable


class OutageScope(StrEnum):
    """What an answer that n8n is down says."""

    N8N = "n8n"
    """No workflow runs: it is the page of a proxy, or of an n8n that starts."""
    NOT_RUN = "not_run"
    """This workflow did not run, so asking again is free. Others may run."""
    WORKFLOW = "workflow"
    """This workflow may be at fault, because a workflow can answer with such a status itself."""
    MAY_HAVE_RUN = "may_have_run"
    """A proxy stopped waiting, so the workflow may have run, and asking again may act twice."""


class N8nDown(WorkflowUnreachable):
    """An answer says that n8n is down or busy. The message is snoozed until `n8n.patience` has passed.

    Args:
        message: the text for the operator.
        retry_after: seconds that the answer asks msgctl to wait.
        scope: what the answer says about the workflow that was called, and about all others.
    """

    code = "n8n_down"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        scope: OutageScope = OutageScope.WORKFLOW,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.scope = scope


class PatienceExhausted(AttemptFailed):
    """n8n was down for longer than `n8n.patience`. The message becomes a dead letter."""

    fault = FaultClass.DEPENDENCY
    code = "n8n_down_too_long"

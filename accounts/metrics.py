"""The metrics of signing in, and of rights that ended while data flowed."""

from collections.abc import Mapping

from accounts.tally import SIGN_IN_OUTCOMES, sign_ins
from core.metrics import Samples, declare, exported_in, of_web

declare("sign_ins_total", "outcome", "Sign-ins: accepted, refused, locked_out, or too busy to check.")
declare("web_rights_ended_total", "", "Sockets and long answers ended because their user may not have them.")
declare("web_rights_unanswered_total", "", "Checks of users' rights that PostgreSQL did not answer.")


@exported_in(of_web)
def export_accounts(to: Samples, counters: Mapping[str, float]) -> None:
    """Sign-ins by what became of them, and rights."""
    for outcome in SIGN_IN_OUTCOMES:
        to.add("sign_ins_total", sign_ins.get(outcome, 0), outcome)
    to.add("web_rights_ended_total", counters.get("rights_ended", 0))
    to.add("web_rights_unanswered_total", counters.get("rights_unanswered", 0))

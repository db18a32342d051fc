"""What an outcome costs once the truth is known, by the costs of a policy, over columns."""

from __future__ import annotations

import numpy as np

from risk.backtest.block import ALLOW, BLOCK, REVIEW, Bytes
from risk.backtest.columns import Flags, Floats
from risk.policy import Policy


def cost(outcome: Bytes, fraud: Flags, amount: Floats, policy: Policy) -> Floats:
    """Base minor units of each payment, (n,); an unknown amount counts as 0.

    The terms are those of ``risk.policy.expected_cost`` with the truth in place of a
    probability: a fraud that is let through costs its amount and the fee, a good payment that is
    stopped its margin and the customer, a review the reviewer and what reviewers get wrong.
    """
    known = np.nan_to_num(amount)
    allow = np.where(fraud, policy.loss_share * known + policy.fee_minor, 0.0)
    stop = policy.stopped_customer_minor + policy.margin_share * known
    block = np.where(fraud, 0.0, stop)
    review = (
        policy.review_minor + policy.review_miss_share * allow + policy.review_stop_share * block
    )
    return np.select(
        [outcome == ALLOW, outcome == REVIEW, outcome == BLOCK], [allow, review, block], 0.0
    )

"""The records of many events at once, as columns; their words made in compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.operations import SLOTS
from features.proof.told import INCARNATION_MAX, SEQUENCE_MAX, Told
from features.records import RECORD_WORDS, ROLE_OF_KIND, ROLES
from risk.domain.ids import record_id
from risk.domain.kinds import ENTITY_KINDS
from risk.domain.limits import TAIL_CAP

Ints = NDArray[np.int64]
_ROLES: Final = np.array([ROLE_OF_KIND[kind] for kind in ENTITY_KINDS], np.int64)
OWN: Final = 12  # integers of an event: the first eleven of ``Facts``, and its record id


class Columns(NamedTuple):
    """n events with m places in all, in order.

    ``own`` (n, 12): the integers of each event, in the order of ``Facts``, and its record id.
    ``counts`` (n,): how many places it has. ``slots`` (m,). ``at`` (m, 4): incarnation, base,
    sequence and tail_from of each place.
    """

    own: Ints
    counts: Ints
    slots: Ints
    at: Ints


def columns_of(told: Sequence[Told]) -> Columns:
    """The columns of ``told``. Raises OverflowError where a place has an impossible number."""
    places = list(chain.from_iterable([one.positions for one in told]))
    numbers = [
        number for at in places for number in (at.incarnation, at.base, at.sequence, at.tail_from)
    ]
    own = [(*one.own, record_id(one.event.tenant, one.event.id, one.kind)) for one in told]
    slots = SLOTS
    return Columns(
        np.array(own, np.int64).reshape(-1, OWN),
        np.array([len(one.positions) for one in told], np.int64),
        np.array([slots[at.kind] for at in places], np.int64),
        np.array(numbers, np.int64).reshape(-1, 4),
    )


def impossible(of: Columns) -> NDArray[np.bool_]:
    """Events (n,) that have a place which ``features.proof.told.check_sequences`` refuses."""
    incarnation, base, sequence, tail_from = of.at.T
    wrong = (base < 0) | (base > sequence) | (sequence >= SEQUENCE_MAX)
    wrong |= (incarnation <= 0) | (incarnation >= INCARNATION_MAX)
    wrong |= tail_from != np.maximum(sequence - TAIL_CAP, 0)
    found = np.zeros(len(of.own), np.bool_)
    found[np.repeat(np.arange(len(of.own)), of.counts)[wrong]] = True
    return found


def packed(of: Columns, logs: Ints, hashes: Ints) -> tuple[NDArray[np.uint32], Ints]:
    """Words (m, 9) of the record at each place, and the hashes (n, 5) of the events' roles.

    ``logs`` (m,) are the numbers of the places' logs, ``hashes`` those of the entities by log.
    The words are those of ``features.records.pack``.
    """
    words = np.empty((len(logs), RECORD_WORDS), np.uint32)
    roles = np.zeros((len(of.own), len(ROLES)), np.int64)
    _pack(of, hashes[logs], _ROLES[of.slots], words, roles)
    return words, roles


@compiled
def _pack(
    of: Columns, hashes: Ints, own_roles: Ints, words: NDArray[np.uint32], roles: Ints
) -> None:
    begin = 0
    for event in range(len(of.own)):
        end = begin + of.counts[event]
        for place in range(begin, end):
            # A merchant comes before a beneficiary, and is the counterparty where both are.
            if roles[event, own_roles[place]] == 0:
                roles[event, own_roles[place]] = hashes[place]
        time, kind, channel, flags = (
            of.own[event, 0], of.own[event, 1], of.own[event, 2], of.own[event, 3],
        )  # fmt: skip
        currency, amount, country, mcc = (
            of.own[event, 4], of.own[event, 5], of.own[event, 7], of.own[event, 8],
        )  # fmt: skip
        identity = of.own[event, 11]
        for place in range(begin, end):
            role = own_roles[place]
            first = roles[event, 0 if role > 0 else 1]
            second = roles[event, 1 if role > 1 else 2]
            third = roles[event, 2 if role > 2 else 3]
            fourth = roles[event, 3 if role > 3 else 4]
            words[place, 0] = time & 0xFFFFFFFF
            words[place, 1] = time >> 32 | kind << 10 | channel << 15 | flags << 19 | currency << 24
            words[place, 2] = amount & 0xFFFFFFFF
            words[place, 3] = amount >> 32 | country << 8 | mcc << 16
            words[place, 4] = of.own[event, 6]
            words[place, 5] = of.own[event, 9] | of.own[event, 10] << 16
            words[place, 6] = first | (second & 0xFFF) << 20
            words[place, 7] = second >> 12 | third << 8 | (identity & 0xF) << 28
            words[place, 8] = fourth | (identity >> 4) << 20
        begin = end

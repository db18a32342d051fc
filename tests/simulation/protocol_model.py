"""A small model of the decision protocol (design, section 6), explored exhaustively.

One entity log, two payments: X is handled by two workers at once (an owner and a zombie),
Y by the HTTP door, which never retries. P and Q came before, so that the log passes its cap of
one record: what is older than a tail counts through the rollup, which holds the folded records.
Redis may restart and forget its last commands. Kafka has two partitions: decisions are in the
first, the ledger is the second.
Everything a step touches happens at once; between steps anything may happen.

Not modelled: two recoverers at the same time (they are serialised by a fenced lock), expiry,
more than one bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

HOLE = "hole"
CAP = 1
BEFORE = ("P", "Q")
PARTITION = {"X": 0, "Y": 0}
LEDGER_PARTITION = 1


class Body(NamedTuple):
    """A decision: who judged it, and what it saw."""

    payment: str
    judged_by: str
    sequence: int
    base: int
    vector: tuple[str, ...]


class Claim(NamedTuple):
    """What Redis holds of a payment: C claimed, D decided, R receipt."""

    state: str
    sequence: int
    base: int
    prefix: tuple[str, ...]
    body: Body | None


class Redis(NamedTuple):
    """The view. ``epoch`` is 0 while a recovery runs."""

    epoch: int
    log: tuple[str, ...]
    incarnation: int
    base: int
    claims: tuple[tuple[str, Claim], ...]
    pending: frozenset[str]
    watermarks: tuple[tuple[int, int], ...]  # per partition: highest acked offset, its epoch

    def claim(self, payment: str) -> Claim | None:
        return dict(self.claims).get(payment)

    def with_claim(self, payment: str, claim: Claim) -> Redis:
        claims = {**dict(self.claims), payment: claim}
        return self._replace(claims=tuple(sorted(claims.items())))


class Record(NamedTuple):
    """A record in Kafka: a decision, a ledger entry, or an epoch marker."""

    kind: str
    payment: str
    sequence: int
    epoch: int
    body: Body | None


class Actor(NamedTuple):
    """A worker, the door or the sweeper, and what it holds in memory."""

    name: str
    payment: str
    step: str
    epoch: int = 0
    claim: Claim | None = None
    body: Body | None = None
    offset: int = -1


class Recoverer(NamedTuple):
    step: str
    epoch: int = 0


class Budget(NamedTuple):
    """How many faults may still come. An early sweep meets a payment that is being handled."""

    crashes: int = 0
    restarts: int = 0
    early_sweeps: int = 0


class State(NamedTuple):
    redis: Redis
    lost: bool  # Redis has forgotten commands at least once
    loaded: int  # epoch of the scripts that Redis knows; 0 after a restart
    past: tuple[Redis, ...]  # what a restart may go back to
    kafka: tuple[tuple[Record, ...], tuple[Record, ...]]
    actors: tuple[Actor, ...]
    recoverer: Recoverer
    answers: frozenset[tuple[str, Body]]
    budget: Budget


@dataclass(frozen=True)
class Guards:
    """Each guard of the protocol; a test takes away one at a time."""

    claim_once: bool = True
    decide_if_absent: bool = True
    epoch_in_scripts: bool = True
    epoch_of_observe_in_header: bool = True
    markers_void_old_epochs: bool = True
    ack_before_answer: bool = True
    restore_before_open: bool = True
    orphans_to_ledger: bool = True
    watermark_follows_ack: bool = True
    fold_behind_tails: bool = True


def tail_from(sequence: int) -> int:
    """The first sequence of the tail that the event at ``sequence`` sees."""
    return max(0, sequence - CAP)


def start(budget: Budget, lost_max: int = 1) -> State:
    """The first state: epoch 1 is open, nothing has happened."""
    told = tuple(
        Record("decision", payment, place, 1, Body(payment, "", place, 0, BEFORE[:place]))
        for place, payment in enumerate(BEFORE)
    )
    redis = Redis(1, BEFORE, 1, 0, (), frozenset(), ((len(BEFORE) - 1, 1), (-1, 1)))
    actors = (
        Actor("A", "X", "observe", 1),
        Actor("B", "X", "observe", 1),
        Actor("H", "Y", "observe", 1),
        Actor("S", "", "idle"),
    )
    past = (redis,) * lost_max
    if not budget.restarts:
        past = ()
    return State(redis, False, 1, past, (told, ()), actors, Recoverer("idle"), frozenset(), budget)


class Model:
    """The steps. ``successors`` names every state that may follow."""

    def __init__(self, guards: Guards) -> None:
        self.guards = guards

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        for place, actor in enumerate(state.actors):
            yield from self._act(state, place, actor)
        yield from self._recover(state)
        yield from self._restart(state)

    # -- actors --------------------------------------------------------------------------

    def _act(self, state: State, place: int, actor: Actor) -> Iterator[tuple[str, State]]:
        if actor.step in ("done", "dead"):
            return
        step = getattr(self, "_" + actor.step)
        for after in step(state, place, actor):
            yield f"{actor.name} {actor.step}", after
        budget = state.budget
        if budget.crashes and actor.name != "S" and actor.step != "answer":
            dead = put(state, place, Actor(actor.name, actor.payment, "dead"))
            yield (
                f"{actor.name} dies",
                dead._replace(budget=budget._replace(crashes=budget.crashes - 1)),
            )

    def _stale(self, state: State, actor: Actor) -> bool:
        """NOSCRIPT: the script's text names an epoch that Redis does not know any more."""
        if not self.guards.epoch_in_scripts:
            return False
        return not state.loaded == state.redis.epoch == actor.epoch

    def _again(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        """Drop everything that came from Redis; go on when a recovery has opened."""
        if state.redis.epoch and state.loaded == state.redis.epoch:
            step = "idle" if actor.name == "S" else "observe"
            payment = "" if actor.name == "S" else actor.payment
            yield put(state, place, Actor(actor.name, payment, step, state.redis.epoch))

    def _observe(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        if self._stale(state, actor):
            yield from self._again(state, place, actor)
            return
        redis = state.redis
        claim = redis.claim(actor.payment)
        if claim is None or (claim.state == "C" and not self.guards.claim_once):
            base = redis.base if redis.incarnation == redis.epoch else len(redis.log)
            claim = Claim("C", len(redis.log), base, redis.log, None)
            redis = redis.with_claim(actor.payment, claim)._replace(
                log=(*redis.log, actor.payment),
                base=base,
                incarnation=redis.epoch,
                pending=redis.pending | {actor.payment},
            )
            state = command(state, redis)
        if claim.state == "R":
            yield put(state, place, actor._replace(step="answer", body=claim.body))
        elif claim.state == "D":
            yield put(state, place, actor._replace(step="publish", body=claim.body))
        else:
            seen = self._seen(redis, claim)
            body = Body(actor.payment, actor.name, claim.sequence, claim.base, seen)
            yield put(state, place, actor._replace(step="decide", claim=claim, body=body))

    def _seen(self, redis: Redis, claim: Claim) -> tuple[str, ...]:
        """What a claim is shown: the rollup, and the records behind it up to its own place.

        The store folds one cap behind the newest tail, so that a retry is still shown what it
        was shown before; the client folds the rest. Where the log was folded beyond its tail
        the payment is decided without features, and sees nothing.
        """
        own, following = tail_from(claim.sequence), len(redis.log)
        if not self.guards.fold_behind_tails:
            return redis.log[: tail_from(following - 1)] + claim.prefix[own:]
        folded = max(0, tail_from(following - 1) - CAP)
        return () if folded > own else redis.log[:folded] + claim.prefix[folded:]

    def _decide(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        if self._stale(state, actor):
            yield from self._again(state, place, actor)
            return
        claim = state.redis.claim(actor.payment)
        if claim is not None and claim.state == "R":
            yield put(state, place, actor._replace(step="answer", body=claim.body))
            return
        if claim is not None and claim.state == "D" and self.guards.decide_if_absent:
            yield put(state, place, actor._replace(step="publish", body=claim.body))
            return
        if claim is None:  # only without the epoch in the scripts
            claim = actor.claim
        assert claim is not None
        decided = claim._replace(state="D", body=actor.body)
        state = command(state, state.redis.with_claim(actor.payment, decided))
        yield put(state, place, actor._replace(step="publish"))

    def _publish(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        body = actor.body
        assert body is not None
        epoch = actor.epoch
        if not self.guards.epoch_of_observe_in_header and state.redis.epoch:
            epoch = state.redis.epoch
        record = Record("decision", body.payment, body.sequence, epoch, body)
        state, offset = append(state, PARTITION[body.payment], record)
        after = "ack" if self.guards.ack_before_answer or actor.name == "S" else "answer"
        yield put(state, place, actor._replace(step=after, offset=offset))

    def _ack(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        if self._stale(state, actor):
            yield from self._again(state, place, actor)
            return
        body = actor.body
        assert body is not None
        redis = state.redis
        claim = redis.claim(body.payment)
        if claim is not None and claim.state == "D" and claim.body == body:
            redis = redis.with_claim(body.payment, claim._replace(state="R"))._replace(
                pending=redis.pending - {body.payment}
            )
        redis = self._raise_watermark(redis, PARTITION[body.payment], actor)
        state = command(state, redis)
        yield put(state, place, actor._replace(step="answer"))

    def _raise_watermark(self, redis: Redis, partition: int, actor: Actor) -> Redis:
        marks = list(redis.watermarks)
        marks[partition] = max(marks[partition], (actor.offset, actor.epoch))
        if not self.guards.watermark_follows_ack:  # claims more than was acknowledged
            marks[partition] = (99, actor.epoch)
        return redis._replace(watermarks=tuple(marks))

    def _answer(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        assert actor.body is not None
        answers = state.answers
        if actor.name != "S":
            answers |= {(actor.payment, actor.body)}
        state = state._replace(answers=answers)
        after = Actor("S", "", "idle") if actor.name == "S" else actor
        if actor.name != "S":
            after = Actor(actor.name, actor.payment, "done")
        yield put(state, place, after)

    # -- the sweeper ---------------------------------------------------------------------

    def _idle(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        """Look at one pending payment."""
        epoch = state.redis.epoch
        if not epoch or state.loaded != epoch:
            return
        for payment in sorted(state.redis.pending):
            claim = state.redis.claim(payment)
            assert claim is not None
            alive = [a for a in state.actors if a.payment == payment and a.name != "S"]
            if any(other.step not in ("done", "dead") for other in alive):
                if not state.budget.early_sweeps:
                    continue
                left = state.budget._replace(early_sweeps=state.budget.early_sweeps - 1)
                state = state._replace(budget=left)
            step = "publish" if claim.state == "D" else "orphan"
            yield put(state, place, Actor("S", payment, step, epoch, claim, claim.body))

    def _orphan(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        assert actor.claim is not None
        if self.guards.orphans_to_ledger:
            record = Record("ledger", actor.payment, actor.claim.sequence, actor.epoch, None)
            state, _ = append(state, LEDGER_PARTITION, record)
        yield put(state, place, actor._replace(step="unlist"))

    def _unlist(self, state: State, place: int, actor: Actor) -> Iterator[State]:
        """The claim stays; only the pending entry goes."""
        claim = state.redis.claim(actor.payment)
        if not self._stale(state, actor) and claim is not None and claim.state == "C":
            redis = state.redis._replace(pending=state.redis.pending - {actor.payment})
            state = command(state, redis)
        yield put(state, place, Actor("S", "", "idle"))

    # -- Redis ---------------------------------------------------------------------------

    def _restart(self, state: State) -> Iterator[tuple[str, State]]:
        budget = state.budget
        if not budget.restarts:
            return
        choices = dict.fromkeys((state.redis, *state.past))
        for redis in choices:
            yield (
                "redis restarts" + ("" if redis == state.redis else " and forgets"),
                state._replace(
                    redis=redis,
                    lost=state.lost or redis != state.redis,
                    loaded=0 if self.guards.epoch_in_scripts else state.loaded,
                    past=(redis,) * len(state.past) if budget.restarts > 1 else (),
                    recoverer=Recoverer("idle"),
                    budget=budget._replace(restarts=budget.restarts - 1),
                ),
            )

    def _recover(self, state: State) -> Iterator[tuple[str, State]]:
        who = state.recoverer
        if who.step == "idle":
            if state.loaded == 0:
                epoch = 1 + max([state.redis.epoch, *marker_epochs(state)])
                redis = state.redis._replace(epoch=0)
                begun = command(state, redis)._replace(recoverer=Recoverer("mark0", epoch))
                yield "recovery begins", begun
        elif who.step in ("mark0", "mark1"):
            partition = int(who.step[-1])
            marked, _ = append(state, partition, Record("marker", "", -1, who.epoch, None))
            after = "mark1" if partition == 0 else "restore"
            yield f"recovery marks {partition}", marked._replace(recoverer=who._replace(step=after))
        elif who.step == "restore":
            restored = self._restore(state)
            yield "recovery restores", restored._replace(recoverer=who._replace(step="open"))
        else:
            redis = state.redis._replace(epoch=who.epoch)
            opened = command(state, redis)._replace(loaded=who.epoch, recoverer=Recoverer("idle"))
            yield "recovery opens", opened

    def _restore(self, state: State) -> State:
        """Put back what stands in Kafka above the watermarks, then publish the orphans."""
        redis = state.redis
        for partition, (offset, epoch) in enumerate(redis.watermarks):
            for record in self._valid(state, partition, offset + 1, epoch):
                if self.guards.restore_before_open:
                    redis = restore(redis, record)
        state = command(state, redis)
        for payment in sorted(redis.pending):
            claim = redis.claim(payment)
            assert claim is not None
            if claim.state == "C" and self.guards.orphans_to_ledger:
                record = Record("ledger", payment, claim.sequence, state.recoverer.epoch, None)
                state, _ = append(state, LEDGER_PARTITION, record)
        return state

    def _valid(self, state: State, partition: int, first: int, epoch: int) -> Iterator[Record]:
        """Records from ``first`` to this recovery's marker that are not void."""
        for record in state.kafka[partition][first:]:
            if record.kind == "marker":
                if record.epoch == state.recoverer.epoch:
                    return
                epoch = record.epoch
            elif record.epoch == epoch or not self.guards.markers_void_old_epochs:
                yield record

    def valid(self, state: State) -> list[Record]:
        """Every record that is not void, as a consumer of the topics reads it."""
        found = []
        for records in state.kafka:
            epoch = 1
            for record in records:
                if record.kind == "marker":
                    epoch = record.epoch
                elif record.epoch == epoch or not self.guards.markers_void_old_epochs:
                    found.append(record)
        return found


def put(state: State, place: int, actor: Actor) -> State:
    actors = list(state.actors)
    actors[place] = actor
    return state._replace(actors=tuple(actors))


def command(state: State, redis: Redis) -> State:
    """One Redis command took effect; a restart may forget it."""
    if redis == state.redis:
        return state
    return state._replace(redis=redis, past=(state.redis, *state.past)[: len(state.past)])


def append(state: State, partition: int, record: Record) -> tuple[State, int]:
    topics = list(state.kafka)
    topics[partition] = (*topics[partition], record)
    return state._replace(kafka=(topics[0], topics[1])), len(topics[partition]) - 1


def marker_epochs(state: State) -> list[int]:
    return [one.epoch for records in state.kafka for one in records if one.kind == "marker"]


def restore(redis: Redis, record: Record) -> Redis:
    """Set-if-absent of a published record: its place in the log, and its receipt."""
    missing = record.sequence + 1 - len(redis.log)
    log = list(redis.log + (HOLE,) * max(0, missing))
    if log[record.sequence] == HOLE:
        log[record.sequence] = record.payment
    redis = redis._replace(log=tuple(log))
    claim = redis.claim(record.payment)
    if record.body is None:
        if claim is None:
            claim = Claim("C", record.sequence, redis.base, redis.log[: record.sequence], None)
            redis = redis.with_claim(record.payment, claim)
        return redis
    receipt = Claim("R", record.sequence, record.body.base, record.body.vector, record.body)
    return redis.with_claim(record.payment, receipt)._replace(
        pending=redis.pending - {record.payment}
    )

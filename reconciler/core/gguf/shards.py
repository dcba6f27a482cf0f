"""Shards of one model, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.gguf.header import Header


def check_shards(headers: Sequence[Header]) -> tuple[str, ...]:
    """Say what does not fit together in the headers of one set, in the order of its file names.

    Empty where nothing is wrong; one header that does not speak of shards is a set too.
    """
    facts = [header.facts for header in headers]
    if len(facts) == 1 and facts[0].split_count in (None, 1):
        return ()
    complaints: list[str] = []
    for number, fact in enumerate(facts, start=1):
        if fact.split_count != len(facts):
            said = (
                "does not say how many there are"
                if fact.split_count is None
                else (f"says there are {fact.split_count}")
            )
            complaints.append(f"shard {number} of {len(facts)} {said}")
        elif fact.split_number != number - 1:
            said = (
                "does not say which it is"
                if fact.split_number is None
                else (f"says it is number {fact.split_number + 1}")
            )
            complaints.append(f"shard {number} of {len(facts)} {said}")
    architectures = {fact.architecture for fact in facts if fact.architecture is not None}
    if len(architectures) > 1:
        complaints.append(f"the shards are of {len(architectures)} architectures")
    names = [tensor.name for header in headers for tensor in header.tensors]
    said_counts = {fact.split_tensor_count for fact in facts} - {None}
    if said_counts and said_counts != {len(names)}:
        said = " and ".join(str(count) for count in sorted(filter(None, said_counts)))
        complaints.append(f"the shards have {len(names)} tensors, and say there are {said}")
    if len(set(names)) != len(names):
        complaints.append("a tensor stands in more than one shard")
    return tuple(complaints)

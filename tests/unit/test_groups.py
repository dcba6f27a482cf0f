"""Membership of groups, decided on values: who joins, who leaves, and what is ours of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from reconciler.core.edits import AddItem, RemoveItem
from reconciler.core.ledger import LedgerGroup, MadePlace
from reconciler.core.llamaswap.groups import GroupChange, GroupMove, change_groups
from reconciler.core.llamaswap.shapes import Place
from reconciler.core.values import Json

OURS, FOUND = LedgerGroup(name="g"), LedgerGroup(name="g", found=True)
NEW_PLACE = ("routing", "router", "settings", "groups")
MADE_ALL = (("groups",), ("groups", "g"), ("groups", "g", "members"))


def made(*places: Place) -> tuple[MadePlace, ...]:
    """Give places that we made where nothing stood."""
    return tuple(MadePlace(place=place) for place in places)


def grouped(**groups: Sequence[str]) -> Mapping[str, Json]:
    """Give a config with these groups."""
    return {"groups": {name: {"members": [*members]} for name, members in groups.items()}}


def added(change: GroupChange) -> dict[Place, Json]:
    """Give what a change adds, by place."""
    return {edit.place: edit.value for edit in change.edits if isinstance(edit, AddItem)}


def removed(change: GroupChange) -> list[Place]:
    """Give the places that a change takes out."""
    return [edit.place for edit in change.edits if isinstance(edit, RemoveItem)]


@pytest.mark.parametrize(
    ("data", "place", "value"),
    [
        ({}, ("groups",), {"g": {"members": ["a"]}}),
        ({"groups": None}, ("groups", "g"), {"members": ["a"]}),
        ({"groups": {}}, ("groups", "g"), {"members": ["a"]}),
        (grouped(h=["x"]), ("groups", "g"), {"members": ["a"]}),
        ({"groups": {"g": None}}, ("groups", "g", "members"), ["a"]),
        ({"groups": {"g": {"swap": False}}}, ("groups", "g", "members"), ["a"]),
        ({"groups": {"g": {"members": None}}}, ("groups", "g", "members", "0"), "a"),
        ({"groups": {"g": {"members": []}}}, ("groups", "g", "members", "0"), "a"),
        (grouped(g=["x", "y"]), ("groups", "g", "members", "2"), "a"),
        ({"routing": None}, ("groups",), {"g": {"members": ["a"]}}),
        ({"routing": {"scheduler": {}}}, ("groups",), {"g": {"members": ["a"]}}),
        (
            {"routing": {"router": {"use": "group"}}},
            NEW_PLACE[:3],
            {"groups": {"g": {"members": ["a"]}}},
        ),
        (
            {"routing": {"router": {"settings": {"groups": {"h": {}}}}}},
            (*NEW_PLACE, "g"),
            {"members": ["a"]},
        ),
        (
            {"routing": {"router": {"settings": {"groups": {"g": {"members": ["x"]}}}}}},
            (*NEW_PLACE, "g", "members", "1"),
            "a",
        ),
    ],
)
def test_a_member_is_added_where_groups_stand(
    data: Mapping[str, Json], place: Place, value: Json
) -> None:
    """Only what is missing is added, at the place that the file uses."""
    change = change_groups(data, {"a": "g"}, {}, ())
    assert added(change) == {place: value}
    assert change.memberships == {"a": OURS}
    assert change.moves["a"].joins == "g"


def test_new_groups_are_made_together() -> None:
    """Models that join missing groups share one `groups:` key and one group each; all is ours."""
    change = change_groups({}, {"a": "g", "b": "h", "c": "g"}, {}, ())
    assert added(change) == {("groups",): {"g": {"members": ["a", "c"]}, "h": {"members": ["b"]}}}
    assert [item.place for item in change.made] == [
        *MADE_ALL,
        ("groups", "h"),
        ("groups", "h", "members"),
    ]
    assert all(move.makes for move in change.moves.values())


def test_a_group_whose_name_is_a_number_in_the_file_is_the_same_group() -> None:
    """llama-swap reads every key as text, so `7:` is the group "7"."""
    data: Mapping[str, Json] = {"groups": {7: {"members": ["x"]}}}  # type: ignore[dict-item]
    assert added(change_groups(data, {"a": "7"}, {}, ())) == {("groups", "7", "members", "1"): "a"}


@pytest.mark.parametrize("item", ["a", "${which}", "alias"])
def test_who_is_a_member_by_hand_is_found_and_stays(item: str) -> None:
    """One who stands there already, by ID, macro or alias, is recorded and never removed."""
    data = {
        **grouped(g=[item]),
        "macros": {"which": "a"},
        "models": {"a": {"cmd": "x", "aliases": ["alias"]}},
    }
    change = change_groups(data, {"a": "g"}, {}, ())
    assert (change.edits, change.moves, change.memberships) == ((), {}, {"a": FOUND})
    back = change_groups(data, {"a": None}, {"a": FOUND}, ())
    assert (back.edits, back.memberships) == ((), {"a": None})


def test_only_the_item_that_we_wrote_is_taken_out() -> None:
    """Ours bears the ID and stands last; one that somebody put by alias instead is theirs."""
    twice = change_groups(grouped(g=["a", "x", "a"]), {"a": None}, {"a": OURS}, ())
    assert removed(twice) == [("groups", "g", "members", "2")]
    data = {**grouped(g=["alias"]), "models": {"a": {"cmd": "x", "aliases": ["alias"]}}}
    assert change_groups(data, {"a": None}, {"a": OURS}, ()).edits == ()
    assert change_groups(data, {"a": "g"}, {"a": OURS}, ()).memberships == {"a": FOUND}


def test_a_member_of_another_group_by_hand_is_refused_with_its_place() -> None:
    """A model is in one group only; the place that forbids it is named, and nothing is edited."""
    change = change_groups(grouped(h=["x", "a"]), {"a": "g"}, {}, ())
    assert [item.place for item in change.refusals] == [("groups", "h", "members", "1")]
    assert "group h" in change.refusals[0].message
    assert change.edits == ()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"matrix": {}}, ("matrix",)),
        (
            {"routing": {"router": {"settings": {"matrix": {"sets": {}}}}}},
            ("routing", "router", "settings", "matrix"),
        ),
        ({"routing": {"router": {"use": "matrix"}}}, ("routing", "router", "use")),
        ({**grouped(g=["a"]), "matrix": {}}, ("matrix",)),
    ],
)
def test_a_group_is_refused_beside_a_matrix(data: Mapping[str, Json], place: Place) -> None:
    """llama-swap takes groups or a matrix; a matrix that was not taken up stays out of it."""
    change = change_groups(data, {"a": "g"}, {}, ())
    assert [item.place for item in change.refusals] == [place]
    assert change.edits == ()
    assert not change_groups({"matrix": None}, {"a": "g"}, {}, ()).refusals


def test_leaving_is_not_refused_beside_a_matrix() -> None:
    """What somebody did to the file meanwhile does not keep our member in it."""
    data = {**grouped(g=["a", "x"]), "matrix": {}}
    change = change_groups(data, {"a": None}, {"a": OURS}, ())
    assert removed(change) == [("groups", "g", "members", "0")]
    assert not change.refusals


def test_the_last_member_takes_along_what_we_made() -> None:
    """A group, and the key around it, go when nothing is left in them."""
    owned = {"a": OURS, "b": OURS}
    first = change_groups(grouped(g=["a", "b"]), {"a": None, "b": "g"}, owned, made(*MADE_ALL))
    assert removed(first) == [("groups", "g", "members", "0")]
    assert first.made == made(*MADE_ALL)
    last = change_groups(grouped(g=["b"]), {"b": None}, {"b": OURS}, first.made)
    assert removed(last) == [("groups",)]
    assert last.moves == {"b": GroupMove(leaves="g", removes=True)}
    assert last.made == ()


@pytest.mark.parametrize(
    ("data", "gone"),
    [
        ({"groups": {"g": {"members": ["a", "x"]}}}, ("groups", "g", "members", "0")),
        ({"groups": {"g": {"members": ["a"], "swap": True}}}, ("groups", "g", "members")),
        ({"groups": {"g": {"members": ["a"]}, "h": {}}}, ("groups", "g")),
    ],
)
def test_what_somebody_added_to_our_group_stays(data: Mapping[str, Json], gone: Place) -> None:
    """A member, a setting or a group of somebody else's keeps what it stands in."""
    change = change_groups(data, {"a": None}, {"a": OURS}, made(*MADE_ALL))
    assert removed(change) == [gone]
    assert change.made == ()
    assert change.moves["a"].removes == (gone == ("groups", "g"))


def test_an_empty_value_that_we_filled_comes_back() -> None:
    """The text that stood there before us is what the last removal leaves."""
    joined = change_groups({"groups": {"g": {"members": None}}}, {"a": "g"}, {}, ())
    after = joined.with_filled({("groups", "g", "members"): " ~"})
    assert after == (MadePlace(place=("groups", "g", "members"), filled=" ~"),)
    left = change_groups(grouped(g=["a"]), {"a": None}, {"a": OURS}, after)
    assert left.edits == (RemoveItem(place=("groups", "g", "members", "0"), empty=" ~"),)


def test_a_group_that_was_there_keeps_its_empty_list() -> None:
    """What we did not make is emptied of us, never removed."""
    change = change_groups(grouped(g=["a"]), {"a": None}, {"a": OURS}, ())
    assert change.edits == (RemoveItem(place=("groups", "g", "members", "0")),)
    assert change.moves == {"a": GroupMove(leaves="g")}


def test_a_model_moves_between_groups_of_ours() -> None:
    """It leaves one and joins the other; the first goes if nobody else is in it."""
    change = change_groups(grouped(g=["a"]), {"a": "h"}, {"a": OURS}, made(*MADE_ALL))
    assert removed(change) == [("groups", "g")]
    assert added(change) == {("groups", "h"): {"members": ["a"]}}
    assert change.moves == {"a": GroupMove(joins="h", makes=True, leaves="g", removes=True)}
    assert [item.place for item in change.made] == [
        ("groups",),
        ("groups", "h"),
        ("groups", "h", "members"),
    ]


def test_models_that_change_places_keep_their_groups() -> None:
    """A list that one leaves and another joins is not emptied in between."""
    owned = {"a": OURS, "b": LedgerGroup(name="h")}
    places = made(*MADE_ALL, ("groups", "h"), ("groups", "h", "members"))
    change = change_groups(grouped(g=["a"], h=["b"]), {"a": "h", "b": "g"}, owned, places)
    assert removed(change) == [("groups", "g", "members", "0"), ("groups", "h", "members", "0")]
    assert added(change) == {
        ("groups", "h", "members", "1"): "a",
        ("groups", "g", "members", "1"): "b",
    }
    assert set(change.made) == set(places)


def test_a_member_of_ours_taken_out_by_hand_comes_back() -> None:
    """That it was taken out is told, with its group, even where the whole group went."""
    change = change_groups(grouped(g=["x"]), {"a": "g"}, {"a": OURS}, ())
    assert added(change) == {("groups", "g", "members", "1"): "a"}
    assert change.moves["a"].again
    change = change_groups({}, {"a": "g"}, {"a": OURS}, made(*MADE_ALL))
    assert added(change) == {("groups",): {"g": {"members": ["a"]}}}
    assert change.made == made(*MADE_ALL)
    assert change.moves["a"] == GroupMove(joins="g", makes=True, again=True)


def test_a_found_member_taken_out_by_hand_is_ours_from_then_on() -> None:
    """The manifest declares it, so it is put back, and now by us."""
    change = change_groups(grouped(g=["x"]), {"a": "g"}, {"a": FOUND}, ())
    assert change.memberships == {"a": OURS}
    assert change.moves["a"].again


def test_a_member_moved_by_hand_is_refused() -> None:
    """Somebody put it in another group: the two must agree first."""
    change = change_groups(grouped(g=["x"], h=["a"]), {"a": "g"}, {"a": OURS}, ())
    assert [item.place for item in change.refusals] == [("groups", "h", "members", "0")]


def test_a_group_written_over_a_lost_ledger_is_found() -> None:
    """Without the ledger nobody can tell who put a member in: it counts as found."""
    change = change_groups(grouped(g=["a"]), {"a": "g"}, {}, ())
    assert change.memberships == {"a": FOUND}
    assert change.made == ()


def test_members_that_nothing_was_decided_on_keep_what_we_made() -> None:
    """A model that cannot be applied now stays a member, and its group stays ours."""
    owned = {"a": OURS, "b": OURS}
    change = change_groups(grouped(g=["a", "b"]), {"a": None}, owned, made(*MADE_ALL))
    assert removed(change) == [("groups", "g", "members", "0")]
    assert change.memberships == {"a": None}
    assert change.made == made(*MADE_ALL)


def test_a_renamed_model_keeps_its_membership() -> None:
    """Its item gets the new name with all other references; the ledger says it under the new ID."""
    data = grouped(g=["old"])
    stays = change_groups(
        data, {"new": "g"}, {"old": OURS}, made(*MADE_ALL), renamed={"new": "old"}
    )
    assert (stays.edits, stays.memberships) == ((), {"new": OURS})
    assert stays.made == made(*MADE_ALL)
    moves = change_groups(
        data, {"new": "h"}, {"old": OURS}, made(*MADE_ALL), renamed={"new": "old"}
    )
    assert removed(moves) == [("groups", "g")]
    assert added(moves) == {("groups", "h"): {"members": ["new"]}}


def test_nothing_is_decided_where_nobody_speaks_of_groups() -> None:
    """A config with groups is not even looked at for a manifest without."""
    assert change_groups(grouped(g=["a", "a"]), {"a": None}, {}, ()) == GroupChange()

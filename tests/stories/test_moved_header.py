"""An update that changes no weights: the header is fetched, and the rest is here already."""

from __future__ import annotations

import pytest

from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_faults import Fault, FlipByte, Reply
from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
NAME = "chat-Q4_K_M.gguf"
PATH = f"acme/chat-GGUF/{NAME}"
SIZE = 20_000_000
# The header of a tiny model, what is read beyond it, and the samples of its weights.
LITTLE_BYTES = 200_000


def model(template: str, *, seed: int = 1, file_type: int = 15, size: int = SIZE) -> bytes:
    """Give the bytes of the model with this template."""
    return tiny_model(
        "chat", payload_bytes=size, seed=seed, chat_template=template, quant_file_type=file_type
    )


def publish(host: Sandbox, data: bytes) -> None:
    """Upload the model, once more."""
    host.hub.add_commit("acme/chat-GGUF", {NAME: data})


def applied(host: Sandbox, data: bytes) -> None:
    """Let the host serve the model, and nothing of it be in the hub's log."""
    publish(host, data)
    host.write_manifest(CHAT)
    host.apply()
    assert host.model_files()[PATH] == data
    host.hub.forget_requests()


def updated(host: Sandbox, data: bytes) -> str:
    """Publish, lock and apply an update, and give what the run said of itself."""
    publish(host, data)
    assert host.run("update", "chat").code == 0
    said = host.apply().out
    assert host.model_files()[PATH] == data
    assert host.plan()["actions"] == []
    return said


def sent_bytes(host: Sandbox) -> int:
    """Give how much of files the hub has sent."""
    return sum(item.sent_bytes for item in host.hub.requests if item.origin == "cdn")


@pytest.mark.parametrize("template", ["", "{{ tools }}", "{{ longer }}" * 4000])
def test_another_template_is_all_that_is_fetched(host: Sandbox, template: str) -> None:
    """The new file is byte for byte what was uploaded, though the hub sent its header and little
    more; what did not have to come counts as reused.
    """
    applied(host, model("{{ messages }}"))
    new = model(template)
    said = updated(host, new)
    assert sent_bytes(host) < len(template) + LITTLE_BYTES < len(new) // 50
    assert "fetched " in said
    assert "reused 19" in said
    report = host.run("status", "--json").json["last_run"]
    assert report["fetched_bytes"] == sent_bytes(host)
    assert report["fetched_bytes"] + report["reused_bytes"] == len(new)


def test_other_weights_are_fetched(host: Sandbox) -> None:
    """Weights that were quantized anew come whole, and no byte of them twice."""
    applied(host, model("{{ messages }}"))
    new = model("{{ messages }}", seed=2)
    updated(host, new)
    assert sent_bytes(host) == len(new)


def test_another_table_is_fetched(host: Sandbox) -> None:
    """A model of another quantization under the same name comes whole, and no byte of it twice."""
    applied(host, model("{{ messages }}"))
    new = model("{{ messages }}", file_type=17)
    updated(host, new)
    assert sent_bytes(host) == len(new)


def test_a_difference_that_the_samples_miss_costs_a_copy_and_no_more(host: Sandbox) -> None:
    """Where one weight differs, the digest shows it, and the whole file is fetched."""
    applied(host, model("{{ messages }}"))
    new = bytearray(model("{{ tools }}"))
    new[-5000] ^= 1
    said = updated(host, bytes(new))
    assert len(new) <= sent_bytes(host) < len(new) + LITTLE_BYTES
    assert "reused" not in said


def test_a_header_that_arrives_damaged_does_no_harm(host: Sandbox) -> None:
    """What was read is proven with the rest: a byte that flipped on its way is fetched again."""
    applied(host, model("{{ messages }}"))
    host.hub.faults.add(Fault(origin="cdn", effect=FlipByte(at_byte=600)))
    updated(host, model("{{ tools }}"))


def test_a_hub_that_fails_while_the_header_is_read_is_asked_again(host: Sandbox) -> None:
    """A failure of this shortcut is no failure of the update."""
    applied(host, model("{{ messages }}"))
    host.hub.faults.add(Fault(origin="cdn", effect=Reply(status=404), times=1))
    updated(host, model("{{ tools }}"))


def test_a_file_that_somebody_changed_is_not_built_upon(host: Sandbox) -> None:
    """Bytes that are not the ones we placed are no part of the new file."""
    old = model("{{ messages }}")
    applied(host, old)
    (host.models / PATH).write_bytes(old[:-1] + b"\x01")
    new = model("{{ tools }}")
    updated(host, new)
    assert sent_bytes(host) == len(new)

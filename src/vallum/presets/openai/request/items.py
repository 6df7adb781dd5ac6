"""The items of a response's input: messages, calls of tools and their results, and what answers held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.openai.request.members import BREAKPOINT, DETAILS, ID
from vallum.presets.shape import (
    ANY_OBJECT,
    ANYTHING,
    FLAG,
    REFUSED,
    Shape,
    by_kind,
    either,
    fewer,
    listed,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

STATUS = or_null(one_of("in_progress", "completed", "incomplete"))
LENGTH = or_null(whole(0, 1_048_576))
LOCAL = or_null(by_kind("type", {"local": record()}))  # commands are run by the caller, not by the upstream


def item(bounds: Bounds) -> Shape:
    """Take an item: a message, by its kind or without one, or what an answer held and is sent back."""
    words, result = text(bounds["chars"]), or_null(text(1_048_576))
    many = listed(by_kind("type", parts(bounds)), bounds["parts"], 1)
    message = record(
        "role content",
        role=one_of("user", "assistant", "system", "developer"),
        content=either(words, fewer(many, "input_image", bounds["images"])),
        id=ID,
        status=STATUS,
        phase=one_of("commentary", "final_answer", None),
    )
    output = either(text(1_048_576), many)
    ids = {"id": or_null(ID), "status": STATUS}
    summary = by_kind("type", {"summary_text": record("text", text=words)})
    thought = by_kind("type", {"reasoning_text": record("text", text=words)})
    via = {"namespace": or_null(text(64)), "caller": or_null(record("type", type=text(16), caller_id=ID))}
    shot = record(image_url=text(bounds["data_chars"]), file_id=REFUSED)
    caller = {"caller": via["caller"]}
    tool_server = {"id": ID, "server_label": REFUSED, "arguments": text(1_048_576), "name": text(128, 1)}
    kinds = {
        "message": message,
        "function_call": record(
            "arguments call_id name", arguments=text(1_048_576), call_id=ID, name=text(128, 1), **via, **ids
        ),
        "function_call_output": record(
            "call_id output", call_id=ID, output=output, name=or_null(text(128)), **via, **ids
        ),
        "custom_tool_call": record(
            "call_id input name", call_id=ID, input=text(1_048_576), name=text(128, 1), id=ID, status=STATUS, **via
        ),
        "custom_tool_call_output": record("call_id output", call_id=ID, output=output, id=ID, **via),
        "reasoning": record(
            "summary",
            summary=listed(summary, bounds["parts"]),
            content=or_null(listed(thought, bounds["parts"])),
            encrypted_content=result,
            **ids,
        ),
        "web_search_call": record("id", id=ID, status=text(32), action=ANY_OBJECT),
        "file_search_call": record(
            "id queries", id=ID, status=text(32), queries=listed(words, 64), results=or_null(listed(ANYTHING, 256))
        ),
        "code_interpreter_call": record(
            "id container_id",
            id=ID,
            code=result,
            container_id=ID,
            status=text(32),
            outputs=or_null(listed(ANYTHING, 256)),
        ),
        "image_generation_call": record("id", id=ID, status=text(32), result=or_null(text(bounds["data_chars"]))),
        "computer_call": record(
            "id call_id",
            id=ID,
            call_id=ID,
            action=ANY_OBJECT,
            actions=listed(ANY_OBJECT, 64),
            status=STATUS,
            pending_safety_checks=listed(ANYTHING, 64),
        ),
        "computer_call_output": record(
            "call_id output",
            call_id=ID,
            output=by_kind("type", {"computer_screenshot": shot}),
            acknowledged_safety_checks=or_null(listed(ANYTHING, 64)),
            **ids,
        ),
        "local_shell_call": record("id call_id action", id=ID, call_id=ID, action=ANY_OBJECT, status=STATUS),
        "local_shell_call_output": record("id output", output=text(1_048_576), **ids),
        "shell_call": record("call_id action", call_id=ID, action=ANY_OBJECT, environment=LOCAL, **caller, **ids),
        "shell_call_output": record(
            "call_id output", call_id=ID, output=listed(ANYTHING, 64), max_output_length=LENGTH, **caller, **ids
        ),
        "apply_patch_call": record("call_id operation", call_id=ID, operation=ANY_OBJECT, **caller, **ids),
        "apply_patch_call_output": record(
            "call_id status", call_id=ID, output=result, id=or_null(ID), status=one_of("completed", "failed"), **caller
        ),
        "compaction": record("encrypted_content", encrypted_content=text(1_048_576), id=or_null(ID)),
        "mcp_list_tools": record(
            "id server_label", id=ID, server_label=REFUSED, tools=listed(ANYTHING, 256), error=result
        ),
        "mcp_approval_request": record("id server_label", **tool_server),
        "mcp_call": record(
            "id server_label",
            output=result,
            error=ANYTHING,
            status=text(32),
            approval_request_id=or_null(ID),
            **tool_server,
        ),
        "mcp_approval_response": record(
            "approval_request_id approve", approval_request_id=REFUSED, approve=FLAG, id=or_null(ID), reason=result
        ),
        "item_reference": record("id", id=REFUSED),
    }
    return by_kind("type", kinds, default=message)


def parts(bounds: Bounds) -> dict[str, Shape]:
    """Return the parts of a message: what the user gives, and what the model gave."""
    words, data = text(bounds["chars"]), or_null(text(bounds["data_chars"]))
    return {
        "input_text": record("text", text=words, prompt_cache_breakpoint=BREAKPOINT),
        "output_text": record(
            "text", text=words, annotations=listed(ANYTHING, 256), logprobs=or_null(listed(ANYTHING, 1024))
        ),
        "input_image": record(
            image_url=data, detail=one_of(*DETAILS, None), file_id=REFUSED, prompt_cache_breakpoint=BREAKPOINT
        ),
        "input_file": record(
            file_data=data,
            filename=text(256),
            file_id=REFUSED,
            file_url=REFUSED,
            detail=one_of("auto", "low", "high"),
            prompt_cache_breakpoint=BREAKPOINT,
        ),
        "input_audio": record(
            "input_audio",
            input_audio=record("data format", data=text(bounds["data_chars"], 1), format=one_of("wav", "mp3")),
        ),
        "refusal": record("refusal", refusal=words),
    }

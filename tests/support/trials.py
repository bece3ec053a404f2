"""Tests that are trials: they start whole desks, web servers or browsers, or walk a long way.

`make test` leaves them out, so that it takes minutes; `make trials` and the continuous integration run them.
"""

from typing import Final

TRIALS: Final = (
    "tests/arbsite/",
    "tests/browser/",
    "tests/end_to_end/",
    "tests/accounts/test_key_rotation.py",
    "tests/accounts/test_rights.py",
    "tests/accounts/test_rights_shown.py",
    "tests/accounts/test_rights_table.py::test_the_table_says_what_a_server_does",
    "tests/accounts/test_rights_unknown.py",
    "tests/accounts/test_turns.py",
    "tests/audit/test_audit.py::test_nobody_fills_the_audit_with_their_views",
    "tests/collectors/test_lease_processes.py",
    "tests/collectors/test_live_books.py",
    "tests/collectors/test_silence.py::test_every_exchange_is_asked_in_a_form_it_answers",
    "tests/engine/charts/test_batch.py",
    "tests/engine/charts/test_recording.py",
    "tests/engine/charts/test_states.py::test_memory_does_not_grow",
    "tests/history/lake/test_care_beside_others.py",
    "tests/history/lake/test_crash.py",
    "tests/history/lake/test_damage.py",
    "tests/history/lake/test_process.py",
    "tests/history/lake/test_rot.py",
    "tests/history/lake/test_s3.py",
    "tests/history/lake/test_session.py",
    "tests/history/replay/test_command.py",
    "tests/history/replay/test_replay.py",
    "tests/history/test_api_strict.py::test_whatever_a_parameter",
    "tests/history/test_export.py::test_an_export_of_a_million_rows",
    "tests/history/test_one_pairing.py",
    "tests/markets/test_damaged_answers.py",
    "tests/markets/test_damaged_dialects.py",
    "tests/markets/test_sync.py::test_a_hundred_syncs",
    "tests/monitoring/alerts/test_delivery_one_message.py::test_the_next_message_goes",
    "tests/monitoring/test_observe.py",
    "tests/monitoring/test_quality_redis.py",
    "tests/orderbook/test_ingest_command.py",
    "tests/realtime/scanner/test_socket.py",
    "tests/realtime/test_clock_shards.py",
    "tests/realtime/test_many_browsers.py",
    "tests/realtime/test_pins_pace.py",
    "tests/realtime/test_slow_readers.py",
    "tests/realtime/test_socket.py",
    "tests/realtime/test_socket_frames.py",
)
"""What the names of trials begin with."""


def is_all_trial(file: str) -> bool:
    """Whether every test of the file, named from the root of the project, is a trial."""
    return file.startswith(TRIALS)


def may_hold_trials(file: str) -> bool:
    """Whether a test of the file is a trial."""
    return is_all_trial(file) or any(name.startswith(f"{file}::") for name in TRIALS)

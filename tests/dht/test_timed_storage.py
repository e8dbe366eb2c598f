"""What a peer keeps for others."""

from hivemind.utils.timed_storage import TimedStorage, get_dht_time

from dht.table.timed_storage import repair


def test_a_late_copy_of_an_old_record_does_not_take_the_newer_one_with_it() -> None:
    repair()
    storage: TimedStorage[str, str] = TimedStorage()
    now = get_dht_time()
    assert storage.store("node", "new", now + 20)
    assert not storage.store("node", "old", now + 0.05)
    while get_dht_time() < now + 0.1:
        pass
    kept = storage.get("node")
    assert kept is not None
    assert kept.value == "new"

"""A log in an object store: what is special there beside the contracts that it keeps as a folder does."""

import pytest
from click.testing import CliRunner

from tests.adapters.test_offline_log_contract import P0, VIEW, part
from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_history import listed_parts, with_local_parts
from undertow.adapters.offline_lease import FileLease
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_mend import accept_holes
from undertow.adapters.offline_parts import require_intact
from undertow.adapters.offline_root import claim_folder, make_log, read_nonce
from undertow.adapters.offline_verify import verify
from undertow.cli.main import main
from undertow.core.errors import Refused, Unavailable
from undertow.settings.settings import load
from undertow.storage.store_path import StorePath

pytestmark = pytest.mark.s3


@pytest.fixture
def home(store_root):
    make_log(store_root)
    return claim_folder(store_root, VIEW)


def owner(root, topic_id="t"):
    return FileOfflineLog(root, VIEW, cluster_id="c", topic_id=topic_id, writer="test", clock=lambda: 1e9)


@pytest.fixture
def chain(store_root, home):
    """Four parts of one row each."""
    log = owner(store_root)
    for first in range(4):
        log.publish(part(first, first + 1))
    return home / "windows/0"


def name(first):
    return f"{first:020d}.parquet"


def test_two_who_make_a_log_at_one_address_have_the_same(store_root):
    first, second = make_log(store_root), make_log(store_root)
    assert first == second
    assert read_nonce(store_root) == first.nonce
    first.require_still()


def test_an_owner_whose_log_is_emptied_waits(store_root, chain):
    log = owner(store_root)
    assert log.end(P0) == 4
    (store_root / "_log.json").unlink()
    with pytest.raises(Unavailable, match="the log's folder is gone"):
        log.publish(part(4, 5))
    assert not (chain / name(4)).exists()


def test_a_missing_object_is_told_and_a_chain_may_go_on_without_it(home, chain):
    (chain / name(2)).unlink()
    with pytest.raises(Refused, match=r"windows/0 lacks offsets 2 to 2 \(s3://.* is missing\)"):
        require_whole(home)
    assert [*accept_holes(home, VIEW)] == [
        f"v__cccccccc: windows/0 goes on without offsets 2 to 2 ({chain / name(2)} is missing): noted as lost"
    ]
    assert len(require_whole(home)[chain]) == 4


def test_a_flipped_bit_is_found_by_its_address(store_root, chain):
    content = bytearray((chain / name(1)).read_bytes())
    content[40] ^= 1
    (chain / name(1)).write_bytes(bytes(content))
    found = verify(store_root)
    assert (found.files, len(found.faults)) == (4, 1)
    assert found.faults[0].startswith(f"{chain / name(1)} is damaged")


def test_who_reads_a_copy_of_a_damaged_object_is_told_its_address(home, chain):
    (chain / name(1)).write_bytes((chain / name(1)).read_bytes()[:-100])
    with pytest.raises(Refused) as told:
        with_local_parts(home, require_intact, parts=listed_parts)
    assert str(told.value).startswith(f"{chain / name(1)} is damaged")
    assert "undertow-copies" not in str(told.value)


@pytest.mark.usefixtures("chain")
def test_a_topic_made_anew_comes_with_the_command_for_a_store(store_root):
    with pytest.raises(Refused, match=r"undertow maintain --set-aside t$"):
        owner(store_root, "another").end(P0)


def test_a_lease_is_read_back(home):
    lease = FileLease(home, "windows")
    assert lease.read() == ""
    lease.write("one")
    lease.write("two")
    assert FileLease(home, "windows").read() == "two"


@pytest.fixture
def settings_in(store_root, here, monkeypatch):
    """Write settings that name the store, with its secret as the environment has it."""
    options = store_root.options
    (here / "undertow.toml").write_text(
        f'[offline]\npath = "{store_root}"\n[store]\nendpoint = "{options.endpoint}"\nregion = "{options.region}"\n'
        f'access_key_id = "{options.access_key_id}"\ncache_bytes = {options.cache_bytes}\n'
    )
    monkeypatch.setenv("UNDERTOW_STORE__SECRET_ACCESS_KEY", options.secret_access_key)
    return here


@pytest.mark.usefixtures("settings_in")
def test_settings_give_the_path_what_it_is_reached_by(store_root):
    path = load().offline.path
    assert (path, path.options) == (store_root, store_root.options)
    assert make_log(path).nonce == read_nonce(store_root)


def test_the_secret_may_lie_in_a_file_and_comes_by_one_way_alone(store_root, settings_in, monkeypatch):
    (settings_in / "secret").write_text(f"{store_root.options.secret_access_key}\n")
    monkeypatch.setenv("UNDERTOW_STORE__SECRET_ACCESS_KEY_FILE", "secret")
    with pytest.raises(Refused, match=r"^store.secret_access_key and store.secret_access_key_file are both set"):
        load()
    monkeypatch.delenv("UNDERTOW_STORE__SECRET_ACCESS_KEY")
    assert load().offline.path.options == store_root.options
    with pytest.raises(Refused, match="is a secret, and a command line can be read"):
        load(["store.secret_access_key=hush"])


@pytest.mark.usefixtures("settings_in")
def test_check_shows_no_secret_and_says_what_the_store_promises(store_root):
    done = CliRunner().invoke(main, ["check"], env={"COLUMNS": "300"})
    assert "of several that create an object there exactly one does (24 races)" in done.output
    assert store_root.options.secret_access_key not in done.output
    assert str(store_root) in done.output


def test_how_often_a_maintainer_asks_does_not_grow_with_parts_that_wait_to_be_deleted(
    store_root, home, chain, monkeypatch
):
    asked = []
    for asking in ("stat", "read_bytes", "iterdir", "sizes"):
        ask = getattr(StorePath, asking)
        monkeypatch.setattr(StorePath, asking, lambda self, ask=ask: asked.append(self) or ask(self))

    def look():
        asked.clear()
        ((found,), faults) = FileChains(home, VIEW).look()
        assert faults == []
        return found, len(asked)

    look()  # it gives the chain its name
    few, for_few = look()
    log = owner(store_root)
    for first in range(4, 14):
        log.publish(part(first, first + 1))
    many, for_many = look()
    assert (len(few.parts), len(many.parts), for_few) == (4, 14, for_many)
    assert [place.size for place in many.parts] == [(chain / name(n)).stat().st_size for n in range(14)]


def test_parts_are_deleted_together_whether_or_not_they_are_there(chain):
    chain.unlink_below([name(0), name(9), name(2)])
    assert [path.name for path in sorted(chain.glob("*.parquet"))] == [name(1), name(3)]

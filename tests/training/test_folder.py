"""Programs outside a training read its folder. `test_run` tests what the training does with it."""

import dataclasses
import json
from pathlib import Path

from keras_s2s.data.hosts import Hosts
from keras_s2s.training.folder import best_epoch, host_output


def test_best_epoch_is_the_one_whose_weights_were_kept(tmp_path: Path) -> None:
    assert best_epoch(tmp_path) is None
    history = [{"val_perplexity": value, "loss": 1.0} for value in (9.0, 7.5, 8.0)]
    (tmp_path / "history.json").write_text(json.dumps(history))

    assert best_epoch(tmp_path / "translator.keras") == {
        "epoch": 2,
        "val_perplexity": 7.5,
        "loss": 1.0,
    }
    assert best_epoch(tmp_path) == best_epoch(tmp_path / "translator.keras")


@dataclasses.dataclass(frozen=True)
class TwoHosts(Hosts):
    """One of two processes; what the leader sends stands in `sent`, not on a network."""

    count: int = 2
    sent: list[bytes] = dataclasses.field(default_factory=list)

    def from_leader(self, data: bytes) -> bytes:
        if self.leads:
            self.sent.append(data)
        return self.sent[-1]


def test_one_process_and_the_leader_of_several_write_to_the_output(tmp_path: Path) -> None:
    for hosts in (Hosts(), TwoHosts()):
        with host_output(hosts, tmp_path) as output:
            assert output == tmp_path


def test_another_process_writes_aside_and_gets_a_copy_of_what_was_begun(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint" / "epoch-0001" / "progress.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}", encoding="utf-8")
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    leader = TwoHosts()
    with host_output(leader, tmp_path, "checkpoint"):
        pass

    with host_output(TwoHosts(index=1, sent=leader.sent), tmp_path, "checkpoint") as output:
        assert output != tmp_path
        copied = [path.relative_to(output) for path in output.rglob("*") if path.is_file()]
        assert copied == [state.relative_to(tmp_path)]
    assert not output.exists()

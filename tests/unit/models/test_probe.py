# SPDX-License-Identifier: BSD-3-Clause
"""A network that is not what it is taken for is refused, or told, before an attack starts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from torch import nn
from torch.nn import functional

from hepfool.attacks import PGD, AttackResult, Noise, run_attack
from hepfool.attacks._transfer import transferred
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError, NetworkWarning
from hepfool.features import Feature
from hepfool.models import CallableClassifier, Classifier, FiniteDifference, TorchClassifier, load_torch
from hepfool.processors import AttackPlan, AttackProcessor, attack_table
from hepfool.statistics import Binning
from hepfool.study import Study
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier

pytestmark = pytest.mark.torch

NOISE = Noise(size=0.1, n_bins=10)
Apply = Callable[[torch.Tensor], torch.Tensor]


class After(nn.Module):
    """A linear network of three inputs, and something done to its input or output inside of forward()."""

    def __init__(self, after: Apply, n_outputs: int = 1, *, before: Apply = lambda x: x, slope: float = 1.0) -> None:
        super().__init__()
        self.linear, self.after, self.before = nn.Linear(3, n_outputs), after, before
        with torch.no_grad():
            self.linear.weight.copy_(slope * torch.linspace(-1.0, 1.0, n_outputs + 1)[1:, None].expand(n_outputs, 3))
            self.linear.bias.zero_()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.after(self.linear(self.before(values)))


class Counting(nn.Module):
    """Answers differently each time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(3, 1), 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.as_tensor(self.linear(values) + self.calls)


def same(raw: torch.Tensor) -> torch.Tensor:
    return raw


def events(n_events: int = 600, *, labels: str = "right", kind: Any = "continuous") -> EventTable:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n_events, 3))
    truth = (values.sum(axis=1) + 0.3 * rng.normal(size=n_events) > 0).astype(int)
    swapped = {"right": truth, "swapped": 1 - truth, "chance": (rng.uniform(size=n_events) < 0.1).astype(int)}
    features = [Feature(name=name, kind=kind) for name in "abc"]
    return EventTable.from_arrays(values, labels=swapped[labels], features=features)


def attacked(classifier: Any, table: EventTable | None = None, attack: Any = NOISE) -> AttackResult:
    return run_attack(attack, classifier, events() if table is None else table, rng=1)


def batch_statistics() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), After(same))


#: Networks whose answer is no property of the event, or no probability.
FAULTY: dict[str, tuple[Callable[[], Classifier], str]] = {
    "dropout without its flag": (
        lambda: TorchClassifier(After(same, before=lambda x: functional.dropout(x, 0.3))),
        "between two calls: dropout",
    ),
    "noise": (lambda: TorchClassifier(After(lambda raw: raw + torch.randn_like(raw))), "between two calls"),
    "a counter": (lambda: TorchClassifier(Counting()), "keeps a state"),
    "batch statistics": (lambda: TorchClassifier(batch_statistics()), "other events of the call"),
    "softmax over the events": (
        lambda: TorchClassifier(nn.Sequential(After(same, 2), nn.Softmax(dim=0)), output="probability"),
        "other events of the call",
    ),
    "layer norm over the events": (
        lambda: TorchClassifier(
            After(lambda raw: (raw - raw.mean(dim=0)) / raw.std(dim=0, correction=0).clamp_min(0.1))
        ),
        "other events of the call",
    ),
    "a place in the batch": (
        lambda: TorchClassifier(After(lambda raw: raw + torch.linspace(-1.0, 1.0, len(raw))[:, None])),
        "other events of the call",
    ),
    "three sigmoids": (
        lambda: TorchClassifier(nn.Sequential(After(same, 3), nn.Sigmoid()), output="probability"),
        "sum to .* per event",
    ),
    "softmax of one output": (
        lambda: TorchClassifier(nn.Sequential(After(same), nn.Softmax(dim=1)), output="probability"),
        "does not use its inputs",
    ),
    "softmax inside, taken for logits": (
        lambda: TorchClassifier(After(lambda raw: raw.softmax(dim=1), 2)),
        "use output='probability'",
    ),
    "log-softmax as probability": (
        lambda: TorchClassifier(After(lambda raw: raw.log_softmax(dim=1), 2), output="probability"),
        "use output='logit'",
    ),
    "tanh as probability": (lambda: TorchClassifier(After(torch.tanh), output="probability"), "not probabilities"),
    "two logits as probability": (lambda: TorchClassifier(After(same, 2), output="probability"), "not probabilities"),
    "nan for some": (lambda: TorchClassifier(After(torch.log)), "not finite for .* of 600"),
    "no inputs": (lambda: TorchClassifier(After(lambda raw: 0.0 * raw)), "does not use its inputs"),
    "one event alone fails": (
        lambda: CallableClassifier(lambda x: np.atleast_2d(x)[: max(len(x), 2)][1:2].sum() * np.ones(len(x))),
        "not probabilities|other events|a single event",
    ),
    "classes instead of probabilities": (
        lambda: CallableClassifier(lambda x: (x.sum(axis=1) > 0).astype(int)),
        "pass predict_proba instead of predict",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_network_that_does_not_answer_event_by_event_is_refused(name: str) -> None:
    make, message = FAULTY[name]
    classifier = make()
    with pytest.raises(ValueError, match=message):
        attacked(classifier)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (After(torch.sigmoid), "between 0 and 1, though .* use output='probability'"),
        (After(torch.sigmoid, slope=100.0), "between 0 and 1, though .* use output='probability'"),
        (After(torch.sigmoid, 3), "between 0 and 1"),
        (After(functional.logsigmoid), "below 0, though"),
        (After(torch.tanh), "between -1 and 1"),
    ],
)
def test_outputs_with_the_bounds_of_an_activation_are_told(module: nn.Module, message: str) -> None:
    with pytest.warns(NetworkWarning, match=message):
        attacked(TorchClassifier(module))


@pytest.mark.parametrize(
    ("labels", "message"),
    [("swapped", "in another order"), ("chance", "accuracy is 0.497, that of always saying class 0 is 0.905")],
)
def test_an_accuracy_below_the_most_frequent_class_is_warned_of(labels: str, message: str) -> None:
    with pytest.warns(NetworkWarning, match=message):
        attacked(TorchClassifier(After(same)), events(labels=labels))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "classifier",
    [
        TorchClassifier(After(lambda raw: 0.01 * raw)),  # hardly trained: all log-odds are small
        TorchClassifier(After(lambda raw: 0.1 * raw + 0.5), threshold=0.6),
        TorchClassifier(After(torch.sigmoid), output="probability"),
        TorchClassifier(After(lambda raw: raw.log_softmax(dim=1), 2)),
        TorchClassifier(After(same).half()),
        TorchClassifier(After(same).bfloat16()),
        TorchClassifier(After(torch.squeeze)),
        TorchClassifier(After(lambda raw: raw[:, :, None])),
        TorchClassifier(After(same, before=lambda x: x.mul_(2.0))),
        TorchClassifier(After(lambda raw: raw * (1 + 1e-6 * torch.randn_like(raw)))),
        TorchClassifier(nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), After(same)).train()),
        TorchClassifier(nn.DataParallel(nn.Sequential(After(same), nn.Sigmoid())), output="probability"),
        FiniteDifference(CallableClassifier(lambda x: (x.sum(axis=1) > 0).astype(float)), [0.5] * 3),
    ],
)
def test_a_sound_network_is_attacked_without_a_warning(classifier: Classifier) -> None:
    attacked(classifier)


@pytest.mark.filterwarnings("error")
def test_a_rare_signal_gives_no_warning() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.uniform(size=2000) < 0.05).astype(int)
    values = rng.normal(size=(2000, 3)) + 1.2 * labels[:, None] - 0.6
    result = attacked(TorchClassifier(After(same)), EventTable.from_arrays(values, labels=labels))
    assert result.accuracy < 0.95
    assert result.auroc > 0.9


@pytest.mark.filterwarnings("error")
def test_one_class_of_which_a_tree_is_sure_is_accepted() -> None:
    table = events()
    tree = DecisionTreeClassifier(random_state=0).fit(table.values, table.labels)
    signal = table.select(table.labels == 1)
    assert np.ptp(CallableClassifier(tree).scores(signal.values)) == 1.0  # exactly 0 and 1 everywhere
    attacked(CallableClassifier(tree), signal)


def test_a_network_without_a_gradient_is_refused_by_attacks_that_follow_one() -> None:
    with pytest.raises(GradientsUnavailableError, match="detaches it"):
        attacked(TorchClassifier(After(torch.detach)), attack=PGD())
    steps = TorchClassifier(After(lambda raw: raw + 5.0 * (torch.round(raw) - raw)))
    attacked(steps, attack=PGD())
    flat = TorchClassifier(After(lambda raw: torch.round(raw) + 0.5))
    with pytest.raises(GradientsUnavailableError, match="gradient is zero for all 600 events"):
        attacked(flat, attack=PGD())


def test_events_that_cannot_move_are_warned_of_and_not_fooled() -> None:
    dropout = TorchClassifier(After(same, before=lambda x: functional.dropout(x, 0.5)))
    with pytest.warns(NetworkWarning, match="no value of the attacked events may move"):
        result = attacked(dropout, events(kind="fixed"))
    assert result.fooling_ratio == 0.0
    assert not result.moved.any()


def test_what_changes_its_input_is_refused_unless_it_gets_a_copy() -> None:
    class Own(SineClassifier):
        def scores(self, values: FloatArray) -> FloatArray:
            found = super().scores(values)
            if values.flags.writeable:
                values += 1.0
            return found

    table = EventTable.from_arrays(np.random.default_rng(1).normal(size=(100, 6)), labels=np.arange(100) % 2)
    with pytest.raises(ValueError, match="changes its input in place"):
        attacked(Own(), table)
    given = np.array([[0.25, 0.5]])
    CallableClassifier(lambda values: np.multiply(values, 0.5, out=values)[:, 0]).scores(given)
    assert given.tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("bare", "message"),
    [
        (nn.Linear(3, 1), r"a Linear is not a classifier yet; pass .*TorchClassifier\(module, output='logit'\)"),
        (LogisticRegression(), r"CallableClassifier\(estimator, n_classes=2\)"),
        (np.tanh, r"CallableClassifier\(function, n_classes=2\)"),
        ("network.pt2", "load_model"),
    ],
)
def test_an_object_that_is_not_a_classifier_is_refused_with_its_wrapper(bare: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        attacked(bare)


@pytest.mark.parametrize("rng", [None, -1, 1.5, True, "1"])
def test_a_value_that_is_not_a_seed_is_refused(rng: Any) -> None:
    with pytest.raises(ValueError, match="rng must be a seed"):
        run_attack(NOISE, TorchClassifier(After(same)), events(), rng=rng)


def test_a_seed_is_as_good_as_a_generator() -> None:
    one, other = (
        run_attack(NOISE, TorchClassifier(After(same)), events(), rng=rng) for rng in (7, np.random.default_rng(7))
    )
    np.testing.assert_array_equal(one.adversarial.values, other.adversarial.values)
    assert one.provenance == other.provenance


@pytest.mark.parametrize("classes", [["b", "s"], [1, 2], [0, 1, 2]])
def test_an_estimator_of_other_classes_is_refused(classes: list[Any]) -> None:
    table = events()
    estimator = LogisticRegression().fit(table.values, np.resize(classes, table.n_events))
    with pytest.raises(ValueError, match="the estimator knows the classes"):
        CallableClassifier(estimator)


def test_a_program_exported_for_a_fixed_number_of_events_answers_any_number(tmp_path: Path) -> None:
    module, values = After(same).eval(), events(37).values
    for n_events in (1, 5, 64):
        torch.export.save(torch.export.export(module, (torch.zeros(n_events, 3),)), tmp_path / "fixed.pt2")
        classifier = load_torch(tmp_path / "fixed.pt2")
        for asked in (values, values[:1], values[:0]):
            np.testing.assert_allclose(classifier.scores(asked), TorchClassifier(module).scores(asked), atol=1e-6)


def test_a_program_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    dynamic = ({0: torch.export.Dim("n_events")},)
    for layer, message in ((nn.Dropout(0.3), "between two calls"), (nn.BatchNorm1d(3), "other events of the call")):
        module = nn.Sequential(layer, After(same)).train()
        torch.export.save(torch.export.export(module, (torch.zeros(4, 3),), dynamic_shapes=dynamic), tmp_path / "t.pt2")
        with pytest.raises(ValueError, match=message):
            attacked(load_torch(tmp_path / "t.pt2"))


WRAPPED: dict[str, Callable[[nn.Sequential], TorchClassifier]] = {
    "logits": TorchClassifier,
    "squeezed": lambda net: TorchClassifier(Squeezed(net)),
    "final activation": lambda net: TorchClassifier(nn.Sequential(net, activation(net)), output="probability"),
    "activation in forward": lambda net: TorchClassifier(Inside(net), output="probability"),
    "parallel": lambda net: TorchClassifier(nn.DataParallel(net)),
    "small batches": lambda net: TorchClassifier(net, batch_size=7),
    "double": lambda net: TorchClassifier(nn.Sequential(net).double()),
}


class Squeezed(nn.Module):
    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.net(values)).squeeze()


class Inside(nn.Module):
    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(activation(self.net)(self.net(values)))


def activation(net: nn.Sequential) -> nn.Module:
    return nn.Sigmoid() if net[-1].out_features == 1 else nn.Softmax(dim=-1)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    hidden=st.integers(1, 8),
    n_outputs=st.integers(1, 4),
    n_events=st.integers(1, 40),
    fault=st.sampled_from(["none", "dropout", "batch", "sigmoid"]),
)
def test_scores_do_not_depend_on_how_a_network_is_given(
    seed: int, hidden: int, n_outputs: int, n_events: int, fault: str
) -> None:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, n_outputs))
        values = np.random.default_rng(seed).normal(size=(n_events, 3))
        expected = TorchClassifier(net).scores(values)
        for name, wrap in WRAPPED.items():
            np.testing.assert_allclose(wrap(net).scores(values), expected, atol=1e-5, err_msg=name)
        labels = np.arange(80) % max(n_outputs, 2)
        table = EventTable.from_arrays(np.random.default_rng(seed).normal(size=(80, 3)), labels=labels)
        # Large enough that a fault matters.
        large = nn.Linear(3, n_outputs)
        with torch.no_grad():
            large.weight.copy_(torch.arange(1.0, n_outputs + 1)[:, None] * torch.tensor([1.0, 2.0, 4.0]))
        broken = {
            "none": nn.Identity(),
            "dropout": After(same, 3, before=functional.dropout),
            "batch": nn.BatchNorm1d(3, track_running_stats=False),
            "sigmoid": After(torch.sigmoid, n_outputs, slope=5.0),
        }[fault]
        if fault == "none":
            run_attack(NOISE, TorchClassifier(nn.Sequential(broken, large)), table, rng=1, target="all")
        elif fault == "sigmoid":
            with pytest.warns(NetworkWarning, match="lies between 0 and 1, though it is said to be a logit"):
                attack_all(TorchClassifier(broken), table)
        else:
            with pytest.raises(ValueError, match="answer to"):
                attack_all(TorchClassifier(nn.Sequential(broken, large), n_features=3), table)


def attack_all(classifier: Classifier, table: EventTable) -> AttackResult:
    return run_attack(NOISE, classifier, table, rng=1, target="all")


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_an_attack_chunk_by_chunk_warns_once() -> None:
    table, classifier = events(), TorchClassifier(After(torch.sigmoid))
    binning = Binning.uniform(table, n_bins=10)
    with pytest.warns(NetworkWarning, match=r"between 0 and 1.*\(said of 1 chunks\)") as said:
        attack_table(table, classifier, NOISE, binning=binning)
    assert sum(issubclass(warning.category, NetworkWarning) for warning in said) == 1
    with pytest.raises(ValueError, match="between two calls"):
        attack_table(table, FAULTY["noise"][0](), NOISE, binning=binning)


def test_every_entry_refuses_what_is_not_a_classifier() -> None:
    module: Any = nn.Linear(3, 1)
    analysis: Any = None
    table = events()
    for door in (
        lambda: AttackPlan(classifier=module, attack=NOISE),
        lambda: AttackProcessor(analysis, module, NOISE),
        lambda: attack_table(table, module, NOISE, binning=Binning.uniform(table, n_bins=10)),
        lambda: Study(output=Path("nowhere")).run(table=table, classifier=module),
        lambda: transferred(attacked(TorchClassifier(After(same))), module),
    ):
        with pytest.raises(TypeError, match="a Linear is not a classifier yet"):
            door()

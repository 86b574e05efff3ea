# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from hepfool.attacks.conserv import CONSERVAttack
from hepfool.features import Derived, Feature
from hepfool.study import Study, procedure
from hepfool.validation import Correlations, Marginals, Validation

GOOD = """\
output: report
events:
  files: [events.csv]
  features:
    - tau_pt
    - phi:angle
    - {name: met, unit: GeV, lower: 0.0}
  label: truth
  regions:
    high_met: {role: signal, cuts: {met: [70, null]}}
attack:
  alpha: 1e-1
  max_js_distance: 0.02
checks:
  n_data: 300
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text("tau_pt\n1\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_records_of_the_package(folder: Path) -> None:
    found = Study.from_yaml(write(folder, GOOD))
    assert found.attack == CONSERVAttack(alpha=0.1, validation=Validation(inputs=Marginals(max_js_distance=0.02)))
    assert found.output == folder / "report"
    assert found.work_folder == folder / "report-work"
    assert found.events is not None
    assert found.events.files == (folder / "events.csv",)
    features = [feature.feature() for feature in found.events.features]
    assert features[:2] == [Feature(name="tau_pt"), Feature(name="phi", kind="angle")]
    assert features[2] == Feature(name="met", unit="GeV", lower=0.0)
    assert found.checks is not None
    assert found.checks.n_data == 300.0


@pytest.mark.parametrize(
    ("change", "position", "message"),
    [
        (("output: report", "outlet: report"), "line 1, column 1", "outlet: there is no such setting"),
        (("  alpha: 1e-1", "  alpha: -1"), "line 12, column 3", "attack: alpha must not be negative, got -1.0"),
        (("  alpha: 1e-1", "  price: 1"), "line 12, column 3", "attack.price: there is no such setting"),
        (("  alpha: 1e-1", "  alpha: much"), "line 12, column 3", "attack.alpha: Input should be a valid number"),
        (("n_data: 300", "n_toys: 3"), "line 14, column 1", "checks.n_data: Field required"),
        (("phi:angle", "phi:wobbly"), "line 6, column 7", "events.features.1.kind: Input should be 'continuous'"),
        (("events.csv", "absent.csv"), "line 3, column 11", "no such file: {folder}/absent.csv"),
        (
            ("  label:", "  columns: {mt: met +}\n  label:"),
            "line 8, column 13",
            "columns.mt: formula 'met +' cannot be read",
        ),
        (("[70, null]", "[70, 10]"), "line 2, column 1", "cuts on 'met' from 70.0 to 10.0, which no event passes"),
        (("[70, null]", "[.nan, null]"), "line 2, column 1", "cuts on 'met' from nan to None, which no event passes"),
        (
            ("output: report", "output: report\nseed: -1"),
            "line 2, column 1",
            "seed: Input should be greater than or equal",
        ),
        (("[70, null]", "[70]"), "line 10, column 37", "cuts.met.1: Field required"),
        (("checks:\n  n_data: 300", "frontier: {}"), "line 14, column 1", "frontier needs checks"),
        (("checks:\n  n_data: 300", "detector: null\nspread: {}"), "line 15, column 1", "it needs a detector"),
        (
            ("  label: truth", "  label: truth\n  label: other"),
            "line 9, column 3",
            "'label' stands here for the second",
        ),
        (("files: [events.csv]", "files: [events.csv"), "line 4, column", "expected ',' or ']'"),
        (("alpha: 1e-1", "alpha: !!python/object:os.system x"), "line 12, column 10", "could not determine a constr"),
        (("attack:", "split: {train: 0.6, validation: 0.5}\nattack:"), "line 11", "leave something to the test part"),
    ],
)
def test_an_error_has_a_line_and_a_column(change: tuple[str, str], position: str, message: str, folder: Path) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(ValueError, match=r"c\.yaml") as caught:
        Study.from_yaml(write(folder, text))
    assert position in str(caught.value)
    assert message.format(folder=folder) in str(caught.value)


def test_every_error_is_told(folder: Path) -> None:
    text = GOOD.replace("alpha: 1e-1", "price: 1").replace("n_data: 300", "n_data: none")
    with pytest.raises(ValueError, match=r"line 12, column 3: attack.price.*; line 15, column 3: checks.n_data"):
        Study.from_yaml(write(folder, text))


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b"])
def test_a_file_without_settings_is_refused(text: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="holds no configuration"):
        Study.from_yaml(write(folder, text))


def test_bytes_are_no_configuration(folder: Path) -> None:
    (folder / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"c.yaml, line 1, column 1: this is no text .* save the file as UTF-8"):
        Study.from_yaml(folder / "c.yaml")


def test_events_come_from_one_place(folder: Path) -> None:
    (folder / "out.coffea").write_bytes(b"")
    both = GOOD.replace(
        "  files: [events.csv]", "  files: [events.csv]\n  coffea_output: out.coffea\n  unsafe_pickle: true"
    )
    with pytest.raises(ValueError, match="name either files or coffea_output"):
        Study.from_yaml(write(folder, both))
    with pytest.raises(ValueError, match="features goes with files"):
        Study.from_yaml(
            write(folder, GOOD.replace("files: [events.csv]", "coffea_output: out.coffea\n  unsafe_pickle: true"))
        )


def test_the_schema_is_plain_json_and_takes_what_the_reader_takes(folder: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json.dumps(Study.json_schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    content = yaml.safe_load(GOOD.replace("1e-1", "0.1"))
    assert list(validator.iter_errors(content)) == []
    content["attack"]["price"] = 1.0
    content["checks"].pop("n_data")
    assert len(list(validator.iter_errors(content))) == 2


def laughs(n: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, n)]
    return "\n".join(lines)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(40), r"line 6, column 5: aliases multiply this to more than 100000 values"),
        ("output: &a [*a]", "line 1, column 9: an alias makes this hold itself"),
        ("output: &a {b: {c: *a}}", "line 1, column 9: an alias makes this hold itself"),
        ("[" * 5000, "line 1, column 1: lists or mappings are nested too deeply"),
        ("? [a, b]\n: c", "line 1, column 3: a list cannot be a key"),
        ("output: {? {a: 1} : c}", "line 1, column 12: a mapping cannot be a key"),
        ("output: a\noutput: b", "line 2, column 1: 'output' stands here for the second time"),
        ("output: a\n\tseed: 1", "line 2, column 1: a tab cannot indent; use spaces"),
        ("output: a\n---\noutput: b", "line 2, column 1: a second document begins here"),
        ("seed: 010", "line 1, column 7: 010 is octal to some readers"),
        ("seed: 0o10", "line 1, column 7: 0o10 is octal to some readers"),
        ("seed: !!int x", "line 1, column 7: 'x' is no !!int"),
        (
            "output: !!timestamp 2026-13-45",
            "line 1, column 9: could not determine a constructor for the tag !!timestamp",
        ),
        ("output: a\nevents: \x07", "line 2, column 9: the character '.x07' is not allowed here"),
        ("<<: 3", "line 1, column 5: expected a mapping"),
        ("seed: " + "9" * 5000, "line 1, column 7: .* is no !!int"),
        ("seed: 2026-13-45", "line 1, column 1: seed: Input should be a valid integer"),
        ("seed: 12:30:45", "line 1, column 1: seed: Input should be a valid integer"),
        ("seed: yes", "line 1, column 1: seed: Input should be a valid integer"),
        ("output: a\nseed: true", "line 2, column 1: seed: true and false are not numbers"),
        ("#" * 2**21, "holds 2097152 bytes, more than"),
    ],
    ids=lambda value: value[:12],
)
def test_hostile_text_is_refused_at_once_with_its_place(text: str, message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=rf"c\.yaml,? .*{message}") as caught:
        Study.from_yaml(write(folder, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e3", 1000.0), ("1_000", 1000.0), ("1E+3", 1000.0), (".5", 0.5), ("1_0.5", 10.5), ("0x10", 16.0), ("+7", 7.0)],
)
def test_numbers_are_those_that_they_look_like(written: str, value: float, folder: Path) -> None:
    found = Study.from_yaml(write(folder, GOOD.replace("n_data: 300", f"n_data: {written}")))
    assert found.checks is not None
    assert found.checks.n_data == value


def test_names_are_text_whatever_they_look_like(folder: Path) -> None:
    text = GOOD.replace("high_met: {", "2018: {").replace("label: truth", "label: 2026-01-31")
    found = Study.from_yaml(write(folder, text))
    assert found.events is not None
    assert (list(found.events.regions), found.events.label) == (["2018"], "2026-01-31")
    for name in ("no", "on", "null", "1.5"):
        again = Study.from_yaml(write(folder, GOOD.replace("high_met: {", f"{name}: {{"))).events
        assert again is not None
        assert list(again.regions) == [name]


def test_aliases_and_merges_that_do_no_harm_are_read(folder: Path) -> None:
    text = GOOD.replace("{met: [70, null]}}", "&cut {met: [70, null]}}\n    more: {role: control, cuts: *cut}")
    found = Study.from_yaml(write(folder, text.replace("n_data: 300", "<<: {n_data: 300}")))
    assert found.events is not None
    assert found.events.regions["more"].cuts == found.events.regions["high_met"].cuts
    assert found.checks is not None
    assert found.checks.n_data == 300.0


KEPT = """\
attack:
  strategy: frugal
  validation:
    inputs: {max_js_distance: 0.02, separately: processes}
    score: {max_js_distance: 0.05}
    correlations: null
"""


def test_a_file_states_what_the_attack_keeps(folder: Path) -> None:
    kept = Study.from_yaml(write(folder, f"output: report\n{KEPT}"))
    assert kept.attack.validation == Validation(
        inputs=Marginals(max_js_distance=0.02, separately="processes"),
        score=Marginals(max_js_distance=0.05, n_bins=25, n_quantiles=25),
        correlations=None,
    )
    power = Study.from_yaml(
        write(
            folder,
            "output: report\nattack: {validation: {score: null, at_power: {detection_power: 0.1, n_data: 671}}}\n",
        )
    )
    assert power.attack.validation == Validation.at_power(0.1, n_data=671, score=None)
    assert (
        Study.from_yaml(write(folder, "output: report\nattack: {validation: {}}\n")).attack.validation == Validation()
    )


def test_a_file_keeps_the_score_unless_it_says_otherwise(folder: Path) -> None:
    def kept(attack: str) -> Validation | None:
        return Study.from_yaml(write(folder, f"output: report\n{attack}")).attack.validation

    assert kept("") == kept("attack: {strategy: frugal}\n") == Validation()
    assert kept("attack: {max_js_distance: 0.02, n_bins: 20, max_correlation_shift: 0.01, dependence: distance}\n") == (
        Validation(
            inputs=Marginals(max_js_distance=0.02, n_bins=20),
            correlations=Correlations(max_shift=0.01, kind="distance"),
        )
    )
    assert kept("attack: {validation: {score: null}}\n") == Validation(score=None)
    published = Study.from_yaml(write(folder, "output: report\nattack: {validation: null, max_js_distance: 0.02}\n"))
    assert (published.attack.validation, published.attack.max_js_distance) == (None, 0.02)
    assert (published.attack.kept.score, published.attack.kept.separately) == (None, "union")


def test_a_validation_with_functions_can_be_dumped(folder: Path) -> None:
    observed = Validation(observables={"sum": Marginals(of=Derived(["tau_pt", "met"], np.add))})
    configuration = Study(output=folder / "report", attack=CONSERVAttack(validation=observed))
    record = configuration.model_dump(mode="json")["attack"]["validation"]
    assert record["observables"]["sum"]["of"]["inputs"] == ["tau_pt", "met"]
    json.dumps(record)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("attack:\n  validation:\n    separately: region\n", "line 4, column 5", "'union', 'regions' or 'processes'"),
        ("attack:\n  validation:\n    inputs: {max_js_distance: -1}\n", "line 4, column 14", "must not be negative"),
        ("attack:\n  validation:\n    inputs: {max_js: 1}\n", "line 4, column 14", "no such setting"),
        (
            "attack:\n  validation:\n    score: {max_js_distance: 1}\n    at_power: {detection_power: 0.1, n_data: 9}\n",
            "line 4, column 5",
            "max_js_distance has no effect beside at_power",
        ),
        ("attack: {validation: {}, n_bins: 20}\n", "line 2", "n_bins=20 has no effect beside validation"),
        ("attack: {validation: {}}\nquantile_bins: 9\n", "line 3", "quantile_bins has no effect beside validation"),
    ],
)
def test_a_validation_that_says_nothing_or_twice_is_refused(
    text: str, position: str, message: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=rf"{position}.*{message}"):
        Study.from_yaml(write(folder, f"output: report\n{text}"))


def test_figures_show_the_luminosity_and_energy_of_the_plan(folder: Path) -> None:
    study = Study.from_yaml(
        write(folder, "output: report\nreport: {experiment: plain, luminosity: 0.15, energy: 13}\n")
    )
    style = procedure._style(study)
    assert (style.experiment, style.lumi, style.energy) == ("plain", 0.15, 13.0)
    with pytest.raises(ValueError, match=r"report.luminosity: .* greater than 0"):
        Study.from_yaml(write(folder, "output: report\nreport: {luminosity: 0}\n"))


def test_the_schema_says_what_every_field_is() -> None:
    schema = Study.json_schema()
    records = {"Study": schema, **schema["$defs"]}
    silent = [
        f"{name}.{field}"
        for name, record in records.items()
        for field, node in record.get("properties", {}).items()
        if not node.get("description") or "----" in node["description"]
    ]
    assert silent == []
    assert not any("----" in record.get("description", "") for record in schema["$defs"].values())

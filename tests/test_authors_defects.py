"""What is wrong in descriptions like the authors', each by itself: repaired, reported with its place, and nothing else lost."""

from pathlib import Path

import pytest
from pyoxigraph import BlankNode, Literal, NamedNode, Triple

from coordinator.semantics.authors.loading import Imported, load
from coordinator.semantics.terms import PREFIXES, short, term

PREFIX_LINES = """\
@prefix nnet: <https://w3id.org/tinyml-schema/neural-network-schema#> .
@prefix om: <http://www.ontology-of-units-of-measure.org/resource/om-2/> .
@prefix s3n: <http://w3id.org/s3n/> .
@prefix s3nx: <http://tinyml-schema.org/s3n_extend/> .
@prefix schema: <https://schema.org/> .
@prefix sosax: <http://tinyml-schema.org/sosa_extend/> .
@prefix ssn: <http://www.w3.org/ns/ssn/> .
@prefix ssns: <http://www.w3.org/ns/ssn/systems/> .
@prefix ssnx: <http://tinyml-schema.org/ssn_extend/> .
@prefix td: <https://www.w3.org/2019/wot/td#> .
@prefix e: <http://example.org/> .
"""
LINES = PREFIX_LINES.count("\n")  # before the text of a test
UNUSED = "A prefix is declared and never used"

BOARD = """\
e:board a s3n:SmartSensor ; td:title "Board" ;
    ssn:hasSubSystem [ a sosax:Microphone ] , [ a s3n:MicroController ; s3n:hasSystemCapability [
        ssns:hasSystemProperty [ a s3nx:RAM ; schema:value 20.5 ; schema:unitCode om:kilobyte ] ;
        ssns:hasSystemProperty [ a s3nx:Flash ; schema:value 100 ; schema:unitCode om:kilobyte ] ] ] .
"""
HEARS = """\
e:hears a nnet:NeuralNetwork ; schema:name "Hears" ; ssn:hasInput e:sound ;
    s3n:hasProcedureFeature [ ssns:inCondition [ a s3nx:RAM ; schema:minValue 1.8712e+01 ; schema:unitCode om:kilobyte ] ] ,
        [ ssns:inCondition [ a s3nx:Flash ; schema:minValue 64.0001 ; schema:unitCode om:kilobyte ] ] .
[ a sosax:Microphone ] ssnx:provideInput e:sound .
"""


def read(folder: Path, text: str, name: str = "given.ttl") -> Imported:
    (folder / name).write_text(PREFIX_LINES + text, encoding="utf-8")
    return load(folder)


def objects(imported: Imported, subject: str, predicate: str) -> list[str]:
    """What an example's subject has, as a person would write it."""
    wanted = (NamedNode(f"http://example.org/{subject}"), term(predicate))
    return [written(t.object) for t in imported.triples if (t.subject, t.predicate) == wanted]


def written(value: object) -> str:
    if isinstance(value, NamedNode):
        return short(value.value)
    if isinstance(value, Literal):
        return f"{value.value} {short(value.datatype.value)}"
    return "[ ]"


def defects(imported: Imported) -> list[str]:
    return [sentence for sentence in imported.defects if not sentence.startswith(UNUSED)]


def at(line: int) -> str:
    return f"(given.ttl line {LINES + line})."


# --- facts ---


def test_memory_in_kilobytes_becomes_bytes_rounded_against_the_match(tmp_path: Path):
    imported = read(tmp_path, BOARD + HEARS)
    assert objects(imported, "board", "tegu:ramBytes") == ["20500 xsd:integer"]
    assert objects(imported, "board", "tegu:flashBytes") == ["100000 xsd:integer"]
    assert objects(imported, "hears", "tegu:needsRamBytes") == ["18712 xsd:integer"]
    assert objects(imported, "hears", "tegu:needsFlashBytes") == ["64001 xsd:integer"]  # 64,000.1 bytes
    assert defects(imported) == [
        "Free memory, which is not what a data sheet says, is stated in kilobytes; the facts are in bytes, "
        f"at 1000 bytes a kilobyte (2 places, first given.ttl line {LINES + 3}).",
        "Memory needed is stated in kilobytes; the facts are in bytes, at 1000 bytes a kilobyte "
        f"(2 places, first given.ttl line {LINES + 6}).",
    ]


def test_a_device_and_a_model_have_their_names_and_sensors_as_facts(tmp_path: Path):
    imported = read(tmp_path, BOARD + HEARS)
    assert objects(imported, "board", "rdf:type") == ["s3n:SmartSensor", "tegu:Device"]
    assert objects(imported, "board", "schema:name") == ["Board xsd:string"]
    assert objects(imported, "board", "tegu:sensor") == ["sosax:Microphone"]
    assert objects(imported, "hears", "tegu:needsSensor") == ["sosax:Microphone"]
    assert imported.devices == [NamedNode("http://example.org/board")]
    assert imported.models == [NamedNode("http://example.org/hears")]


def test_the_full_structure_stays_in_the_unit_in_which_it_was_written(tmp_path: Path):
    imported = read(tmp_path, BOARD)
    assert len(objects(imported, "board", "ssn:hasSubSystem")) == 2
    ram = next(t.subject for t in imported.triples if t.object == term("s3nx:RAM"))
    assert {written(t.object) for t in imported.triples if t.subject == ram} == {
        "s3nx:RAM",
        "20.5 xsd:decimal",
        "om:kilobyte",
    }


@pytest.mark.parametrize(
    ("amount", "size_bytes"),
    [("2048 ; schema:unitCode <http://qudt.org/vocab/unit/BYTE>", 2048), ("2 ; schema:unitCode om:kibibyte", 2048)],
)
def test_other_units_of_memory_are_known(tmp_path: Path, amount: str, size_bytes: int):
    imported = read(tmp_path, BOARD.replace("20.5 ; schema:unitCode om:kilobyte", amount))
    assert objects(imported, "board", "tegu:ramBytes") == [f"{size_bytes} xsd:integer"]


def test_an_unknown_unit_makes_no_fact_and_is_reported(tmp_path: Path):
    imported = read(tmp_path, BOARD.replace("20.5 ; schema:unitCode om:kilobyte", "20.5 ; schema:unitCode om:metre"))
    assert objects(imported, "board", "tegu:ramBytes") == []
    assert f"An amount of memory cannot be understood; no fact is made of it: 20.5 om:metre {at(3)}" in imported.defects
    assert (
        f"A description does not say how much RAM is free; it fits no model that needs any: Board {at(1)}"
        in imported.defects
    )


def test_of_two_amounts_of_memory_the_less_favourable_counts(tmp_path: Path):
    twice = " ; ssns:hasSystemProperty [ a s3nx:RAM ; schema:value 30 ; schema:unitCode om:kilobyte ] ] ] ."
    imported = read(tmp_path, BOARD.replace(" ] ] .", twice, 1))
    assert objects(imported, "board", "tegu:ramBytes") == ["20500 xsd:integer"]
    assert any("said more than once; the less favourable counts: s3nx:RAM" in sentence for sentence in imported.defects)


def test_a_sensor_that_no_device_has_is_reported_and_still_needed(tmp_path: Path):
    imported = read(tmp_path, BOARD + HEARS.replace("[ a sosax:Microphone ]", "[ a sosax:Seismometer ]"))
    assert objects(imported, "hears", "tegu:needsSensor") == ["sosax:Seismometer"]
    assert f"A model needs sosax:Seismometer, which no device has: it fits none: Hears {at(5)}" in imported.defects


def test_reading_twice_gives_the_same_triples_and_sentences(tmp_path: Path):
    once = read(tmp_path, BOARD + HEARS)
    assert load(tmp_path) == once


def test_blank_nodes_of_two_files_are_never_the_same(tmp_path: Path):
    read(tmp_path, "_:x e:p 1 .", "one.ttl")
    imported = read(tmp_path, "_:x e:p 2 .", "two.ttl")
    found = [t.subject for t in imported.triples if t.predicate.value == "http://example.org/p"]
    assert len(set(found)) == 2
    assert all(isinstance(subject, BlankNode) for subject in found)


def test_a_folder_without_turtle_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"there is no \.ttl file in"):
        load(tmp_path)


# --- what cannot be read ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("e:a e:p <None> ; e:good 1 .", "An IRI only says that nothing is known; its triple is left out: <None> {}"),
        ("e:a e:p <N.A.> ; e:good 1 .", "An IRI only says that nothing is known; its triple is left out: <N.A.> {}"),
        ("e:a e:p <rooms> ; e:good 1 .", "An IRI is relative to nothing; its triple is left out: <rooms> {}"),
        ("e:a e:p ; e:good 1 .", "A predicate has no object, or a comma no object after it: e:p {}"),
        ("e:a e:good 1 , .", "A predicate has no object, or a comma no object after it: e:good {}"),
        ("e:a e:p e:b e:a e:good 1 .", "A full stop is missing before a subject: e:a {}"),
        ("e:a e:p e:b e:good 1 .", "A semicolon is missing before a predicate: e:good {}"),
        (
            "e:a e:p e:b odd ; e:good 1 .",
            "Something stands where a ; or a full stop should be, and is left out: odd {}",
        ),
        (
            "e:a e:p other:X ; e:good 1 .",
            "A triple cannot be read and is left out: e:a e:p other:X (The prefix other: has not been declared) {}",
        ),
        (
            "e:a e:p [ e:q 2 ] ] .\ne:a e:good 1 .",
            "A bracket is closed that was not opened {}",
        ),
        ("e:a e:p [ e:q 2 .\ne:a e:good 1 .", "A bracket is opened and not closed {}"),
        ("@prefix f: .\ne:a e:good 1 .", "The declaration of a prefix has no IRI and is left out: f: {}"),
    ],
)
def test_what_cannot_be_read_is_reported_and_costs_nothing_else(tmp_path: Path, text: str, sentence: str):
    imported = read(tmp_path, text + "\ne:last e:good 2 .")
    good = NamedNode("http://example.org/good")
    assert [t for t in imported.triples if t.predicate == good] == [
        Triple(NamedNode("http://example.org/a"), good, Literal(1)),
        Triple(NamedNode("http://example.org/last"), good, Literal(2)),
    ]
    assert defects(imported) == [sentence.format(at(1))]


def test_a_broken_triple_within_brackets_leaves_the_rest_of_them(tmp_path: Path):
    imported = read(
        tmp_path, BOARD.replace("td:title", "td:broken <None> ; td:title").replace("[ a s3nx:Flash", "[ a x:Flash")
    )
    assert objects(imported, "board", "tegu:ramBytes") == ["20500 xsd:integer"]
    assert objects(imported, "board", "tegu:flashBytes") == []


def test_a_text_may_end_anywhere(tmp_path: Path):
    assert defects(read(tmp_path, "e:a e:p 1 ,")) == [
        f"A predicate has no object, or a comma no object after it: e:p {at(1)}",
        f"The last statement has no full stop {at(1)}",
    ]
    assert len(read(tmp_path, "e:a e:p 1").triples) == 1
    assert read(tmp_path, "e:a").triples == []


def test_brackets_without_end_are_read_to_a_depth(tmp_path: Path):
    imported = read(tmp_path, "e:a " + "e:p [ " * 5000)
    assert len(imported.triples) <= 64
    assert any(sentence.startswith("Brackets are nested too deeply") for sentence in imported.defects)


def test_a_text_with_any_one_character_left_out_is_read_and_loses_little(tmp_path: Path):
    text = PREFIX_LINES + BOARD + HEARS
    whole = len(read(tmp_path, BOARD + HEARS).triples)
    fewer = []
    for at_character in range(0, len(text), 7):
        (tmp_path / "given.ttl").write_text(text[:at_character] + text[at_character + 1 :])
        imported = load(tmp_path)
        fewer.append(whole - len(imported.triples))
    assert sorted(fewer)[len(fewer) * 3 // 4] <= 3


def test_lists_texts_and_numbers_mean_what_they_mean_in_turtle(tmp_path: Path):
    text = 'e:a e:p ( 1 "two" ) , """three; [four]\nfive""" , \'six\'@en , 7.5 , -8 , true .  # e:a e:p <None> .'
    imported = read(tmp_path, text)
    found = [written(t.object) for t in imported.triples if t.predicate.value == "http://example.org/p"]
    assert found == [
        "[ ]",
        "three; [four]\nfive xsd:string",
        "six rdf:langString",
        "7.5 xsd:decimal",
        "-8 xsd:integer",
        "true xsd:boolean",
    ]
    assert [written(t.object) for t in imported.triples if t.predicate == term("rdf:first")] == [
        "two xsd:string",
        "1 xsd:integer",
    ]
    assert defects(imported) == []


def test_a_file_that_is_not_utf8_is_read_with_question_marks(tmp_path: Path):
    (tmp_path / "given.ttl").write_bytes(b'@prefix e: <http://example.org/> .\ne:a e:p "caf\xe9" ; e:good 1 .')
    imported = load(tmp_path)
    assert len(imported.triples) == 2
    assert imported.defects == [
        "A file is not UTF-8; the bytes that are not are read as a question mark (given.ttl line 2)."
    ]


# --- names ---


@pytest.mark.parametrize("name", ["sosax/:Magnetometer", "sosax::Magnetometer"])
def test_a_name_with_a_slash_or_a_second_colon_is_repaired(tmp_path: Path, name: str):
    imported = read(tmp_path, f"e:a a {name} .")
    assert objects(imported, "a", "rdf:type") == ["sosax:Magnetometer"]
    assert defects(imported) == [f"A name is malformed and is repaired: {name} as sosax:Magnetometer {at(1)}"]


def test_an_iri_with_blanks_is_encoded_and_one_without_scheme_gets_one(tmp_path: Path):
    imported = read(tmp_path, "e:a schema:url <http://example.org/a room> , <example.org/data.zip> .")
    assert objects(imported, "a", "schema:URL") == ["http://example.org/a%20room", "http://example.org/data.zip"]
    assert defects(imported)[:2] == [
        f"An IRI has characters that no IRI may have; they are encoded: <http://example.org/a room> as <http://example.org/a%20room> {at(1)}",
        f"An IRI has no scheme; http:// is put before it: <example.org/data.zip> {at(1)}",
    ]


def test_a_doubled_slash_is_taken_out_of_the_authors_iris_only(tmp_path: Path):
    text = "<http://tinyml-schema.org/x//y> e:p <http://tinyml-schema.org/x/y> , <http://example.org/x//y> ."
    imported = read(tmp_path, text)
    told = [t for t in imported.triples if t.predicate.value == "http://example.org/p"]
    assert [t.subject.value for t in told if isinstance(t.subject, NamedNode)] == ["http://tinyml-schema.org/x/y"] * 2
    assert [written(t.object) for t in told] == ["http://tinyml-schema.org/x/y", "http://example.org/x//y"]
    assert defects(imported) == [
        "An IRI has a slash twice, or a colon after a slash, and is read without: "
        f"<http://tinyml-schema.org/x//...> {at(1)}"
    ]


@pytest.mark.parametrize(
    ("namespace", "how", "now"),
    [
        ("http://tinyml-schema.org/networkschema#", "stale", "nnet"),
        ("http://tinyml-schema.org/s3n_extend#", "stale", "s3nx"),
        ("http://www.w3.org/ns/td#", "stale", "td"),
        ("http://schema.org/", "stale", "schema"),
        ("https://w3id.org/tinyml-schema/neural-network-schema/sosa_extend/", "later", "sosax"),
        ("https://w3id.org/tinyml-schema/neural-network-schema/ssn_extend/", "later", "ssnx"),
        ("https://w3id.org/tinyml-schema/neural-network-schema/s3n_extend/", "later", "s3nx"),
    ],
)
def test_terms_of_another_namespace_are_read_in_the_present_one(tmp_path: Path, namespace: str, how: str, now: str):
    imported = read(tmp_path, f"@prefix old: <{namespace}> .\ne:a e:p old:Thing .")
    assert [written(t.object) for t in imported.triples] == [f"{now}:Thing"]
    assert defects(imported)[-1:] == [
        f"Terms of the {how} namespace <{namespace}> are read in <{PREFIXES[now]}> {at(2)}"
    ]


def test_a_prefix_that_is_not_declared_is_taken_if_it_is_known(tmp_path: Path):
    (tmp_path / "given.ttl").write_text("sosa_extend:Camera rdfs:label 'camera' .")
    imported = load(tmp_path)
    assert [t.subject for t in imported.triples] == [term("sosax:Camera")]
    assert imported.defects == [
        "A prefix is used and not declared: sosa_extend: is taken as <http://tinyml-schema.org/sosa_extend/>, "
        "rdfs: is taken as <http://www.w3.org/2000/01/rdf-schema#> (2 places, first given.ttl line 1)."
    ]


def test_a_declaration_that_does_not_match_what_is_used_is_reported(tmp_path: Path):
    text = "# baseURI: http://example.net/other\n@prefix f: <http://example.org#> .\ne:a e:p 1 ."
    (tmp_path / "given.ttl").write_text("@prefix e: <http://example.org/> .\n@prefix g: <urn:g:> .\n" + text)
    assert load(tmp_path).defects == [
        f"{UNUSED}: g: (given.ttl line 2).",
        "A prefix is declared otherwise than what is used: "
        "f: as <http://example.org#>, used is <http://example.org/> (given.ttl line 4).",
        "The comment baseURI names an IRI that its file does not describe: http://example.net/other (given.ttl line 3).",
    ]


# --- values ---


@pytest.mark.parametrize(
    ("said", "predicate", "becomes", "sentence"),
    [
        (
            'nnet:shapeIn "[ 1 59]"',
            "nnet:shapeIn",
            "[1, 59] xsd:string",
            "A shape is text as numpy prints it, like '[ 1 59]', and is read as the list '[1, 59]': nnet:shapeIn",
        ),
        (
            "nnet:hasMultiplyAccumulateOps 3.36e+05",
            "nnet:hasMultiplyAccumulateOps",
            "336000 xsd:integer",
            "What is counted is written with an exponent; it is read as an integer: nnet:hasMultiplyAccumulateOps",
        ),
        (
            'schema:value "109"@en',
            "schema:value",
            "109 xsd:integer",
            "A number is written as a text and is read as a number: '109' of schema:value",
        ),
        (
            'schema:value "some"',
            "schema:value",
            None,
            "A text stands where a number should be and is left out: 'some' of schema:value",
        ),
        (
            'td:isObservable "True"',
            "td:isObservable",
            "true xsd:boolean",
            "A text stands for true or false and is read as a boolean: 'True' of td:isObservable",
        ),
        (
            'schema:unitCode "om:kilobyte"@en',
            "schema:unitCode",
            "om:kilobyte",
            "A text stands where a term should be and is read as the term: 'om:kilobyte' as om:kilobyte",
        ),
        (
            'schema:unitCode "kB"',
            "schema:unitCode",
            "om:kilobyte",
            "A text stands where a term should be and is read as the term: 'kB' as om:kilobyte",
        ),
        (
            'schema:dateCreated "2021-12-12"',
            "schema:dateCreated",
            "2021-12-12 xsd:date",
            "A day is a text and is read as a date: schema:dateCreated",
        ),
        (
            "nnet:hasMetricValue 0e+00",
            "nnet:hasMetricValue",
            None,
            "A metric of 0 stands for one that nobody measured; its value is left out",
        ),
        (
            'sosax:hasSensorInfo "N.A."',
            "sosax:hasSensorInfo",
            None,
            "A text only says that nothing is known and is left out: 'N.A.' of sosax:hasSensorInfo",
        ),
        (
            'schema:creator "Ada "',
            "schema:creator",
            "Ada xsd:string",
            "A text begins or ends with blanks, which are left out: schema:creator",
        ),
    ],
)
def test_a_value_is_repaired_and_reported(
    tmp_path: Path, said: str, predicate: str, becomes: str | None, sentence: str
):
    imported = read(tmp_path, f"e:a {said} .")
    assert objects(imported, "a", predicate) == ([becomes] if becomes else [])
    assert defects(imported) == [f"{sentence} {at(1)}"]


@pytest.mark.parametrize(
    "said",
    [
        'td:isObservable "true"^^<http://www.w3.org/2001/XMLSchema#boolean>',
        "nnet:hasMetricValue 92.1",
        'nnet:shapeIn "[1, 59]"',
    ],
)
def test_a_good_value_is_left_alone(tmp_path: Path, said: str):
    assert defects(read(tmp_path, f"e:a {said} .")) == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("e:a a schema:Sensor", ("rdf:type", "sosa:Sensor")),
        ("e:a nnet:hasType nnet:AvgPool2D", ("nnet:hasType", "nnet:AveragePool2D")),
        ("e:a td:maximum 4", ("jsonschema:maximum", "4 xsd:integer")),
    ],
)
def test_a_term_that_does_not_exist_is_read_as_the_one_that_is_meant(
    tmp_path: Path, wrong: str, right: tuple[str, str]
):
    imported = read(tmp_path, f"{wrong} .")
    assert objects(imported, "a", right[0]) == [right[1]]
    assert defects(imported)[0].startswith("A term does not exist; the one that is meant is read: ")


def test_a_thing_is_read_as_the_thing_description_ontology_has_it(tmp_path: Path):
    text = """\
e:thing td:hasSecurityConfiguration td:nosec_sc ; td:securityDefinitions [ td:scheme "nosec"@en ] .
e:loud td:hasForm e:form ; td:type "number"@en ; td:unit "om:degress_per_second"@en .
e:form td:href "coap://example.org/loud"@en ; td:op "readproperty"@en .
"""
    imported = read(tmp_path, text)
    scheme = next(t.object for t in imported.triples if t.predicate == term("td:definesSecurityScheme"))
    assert [t.object for t in imported.triples if t.predicate == term("td:hasSecurityConfiguration")] == [scheme]
    assert [written(t.object) for t in imported.triples if t.subject == scheme] == ["wotsec:NoSecurityScheme"]
    assert objects(imported, "loud", "rdf:type") == ["jsonschema:NumberSchema"]
    assert objects(imported, "loud", "schema:unitCode") == ["unit:DEG-PER-SEC"]
    assert objects(imported, "form", "hctl:hasTarget") == ["coap://example.org/loud xsd:anyURI"]
    assert objects(imported, "form", "hctl:hasOperationType") == ["td:readProperty"]
    sentence = "The security of a thing names a scheme that is nowhere; the one that it defines is taken: td:nosec_sc"
    assert f"{sentence} {at(1)}" in imported.defects


# --- what descriptions say of one another ---

LAYERS = """\
e:m a nnet:NeuralNetwork ; nnet:inputLayer e:in ; nnet:middleLayer e:m1 , e:m2 ; nnet:outputLayer e:out .
e:in nnet:hasIndex 1 . e:m1 nnet:hasIndex 1 . e:m2 nnet:hasIndex 2 . e:out nnet:hasIndex 4 .
"""


def test_middle_layers_that_are_counted_from_one_again_are_counted_on(tmp_path: Path):
    imported = read(tmp_path, LAYERS)
    index = {name: objects(imported, name, "nnet:hasIndex") for name in ("in", "m1", "m2", "out")}
    assert [value for values in index.values() for value in values] == [
        f"{number} xsd:integer" for number in (1, 2, 3, 4)
    ]
    sentence = "A middle layer is counted from 1 like the input layer; it is counted from 2"
    assert f"{sentence} (2 places, first given.ttl line {LINES + 2})." in imported.defects


def test_layers_that_are_counted_well_are_left_alone(tmp_path: Path):
    imported = read(
        tmp_path,
        LAYERS.replace("e:m2 nnet:hasIndex 2", "e:m2 nnet:hasIndex 3").replace(
            "m1 nnet:hasIndex 1", "m1 nnet:hasIndex 2"
        ),
    )
    assert objects(imported, "m1", "nnet:hasIndex") == ["2 xsd:integer"]
    assert not any("layer" in sentence for sentence in defects(imported))


def test_references_to_nothing_and_undefined_terms_are_reported_and_kept(tmp_path: Path):
    text = """\
<http://tinyml-schema.org/neuralnetwork/1> e:p <http://tinyml-schema.org/neuralnetwork/2> ; nnet:hasType nnet:Odd .
nnet:hasType a <http://www.w3.org/1999/02/22-rdf-syntax-ns#Property> .
"""
    imported = read(tmp_path, text)
    assert len(imported.triples) == 3
    assert defects(imported) == [
        f"A reference leads to nothing that is described; it is kept: <http://tinyml-schema.org/neuralnetwork/2> {at(1)}",
        f"A term is used that its vocabulary here does not define; it is kept: nnet:Odd {at(1)}",
    ]


def test_classes_of_classes_are_left_out_and_individuals_used_as_classes_are_kept(tmp_path: Path):
    text = """\
nnet:Metric a <http://www.w3.org/2002/07/owl#Class> ; rdfs:subClassOf rdfs:Class .
nnet:Best a nnet:Metric .
e:a a nnet:Best .
"""
    imported = read(tmp_path, text)
    assert [t for t in imported.triples if t.predicate == term("rdfs:subClassOf")] == []
    assert objects(imported, "a", "rdf:type") == ["nnet:Best"]
    assert defects(imported)[1:] == [
        f"A class is called a subclass of rdfs:Class, as if its instances were classes; this is left out: nnet:Metric {at(1)}",
        f"An individual is used as a class; it is kept, as questions read it: nnet:Best {at(3)}",
    ]


def test_a_text_that_contradicts_a_shape_is_reported(tmp_path: Path):
    text = """\
e:m a nnet:NeuralNetwork ; schema:name "Claps" ; nnet:inputLayer e:in ; nnet:outputLayer e:out ;
    ssn:hasInput [ nnet:hasInputInfo "a window of length 50 on 6d data" ] ;
    ssn:hasOutput [ nnet:hasOutputInfo "0: silence, 1: clap" ] .
e:in nnet:shapeIn "[1, 300]" . e:out nnet:shapeOut "[1, 3]" .
"""
    sentence = "A text says another number of values than the shape does; both are kept: Claps says 2 and its shape 3"
    assert f"{sentence} {at(3)}" in read(tmp_path, text).defects

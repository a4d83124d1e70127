"""headway playbook check, as a user types it."""

from tests.doors.typed import Place

GOOD = """
    group: aurora
    name: Say hello
    execution:
      - hosts: [a.example.net, b.example.net]
        steps: [noop:Hello, {"ticket:Close": {dynamic: [ticket]}}]
      - hosts: [a.example.net]
        preflight: [noop:Look]
        steps: [noop:Bye]
    inputs: [cart]
    """
WRONG = """
    group: aurora
    name: Say hello
    execution:
      - host: [localhost]
        steps: [noop.Hello]
    """


def test_a_playbook_that_is_right_is_told_in_one_line(place: Place) -> None:
    place.write("good.yaml", GOOD)
    place.write(
        "small.json", '{"group":"g","name":"n","execution":[{"hosts":["h"],"steps":["a:B"]}]}'
    )
    said = place.type("playbook", "check", "good.yaml", "small.json")
    assert said.lines == [
        "good.yaml: Say hello (aurora): 2 sequences, 2 hosts, 4 steps, 2 inputs",
        "small.json: n (g): 1 sequence, 1 host, 1 step, 0 inputs",
    ]
    assert said.err == ""


def test_everything_that_is_wrong_is_told_of_every_file(place: Place) -> None:
    place.write("good.yml", GOOD)
    place.write("sub/wrong.yaml", WRONG)
    place.write("worse.json", "{")
    said = place.type("playbook", "check", "sub/wrong.yaml", "good.yml", "worse.json", code=1)
    assert said.lines == [
        "sub/wrong.yaml:5:5: execution[0].host: 'host' is no key of a sequence. Did you mean"
        " hosts?",
        "sub/wrong.yaml:6:13: execution[0].steps[0]: 'noop.Hello' is no step. Write noop:Hello",
        "good.yml: Say hello (aurora): 2 sequences, 2 hosts, 4 steps, 2 inputs",
        'worse.json:1:2: playbook: a key is missing here. Write keys in quotes: "key": value',
    ]


def test_a_program_is_told_the_same_in_json(place: Place) -> None:
    place.write("good.yaml", GOOD)
    place.write("wrong.yaml", WRONG)
    assert place.type("playbook", "check", "--json", "good.yaml", "wrong.yaml", code=1).json == [
        {
            "file": "good.yaml",
            "playbook": {
                "group": "aurora",
                "name": "Say hello",
                "sequences": 2,
                "hosts": 2,
                "steps": 4,
                "inputs": 2,
            },
            "problems": [],
        },
        {
            "file": "wrong.yaml",
            "playbook": None,
            "problems": [
                {
                    "line": 5,
                    "column": 5,
                    "field": "execution[0].host",
                    "what": "'host' is no key of a sequence",
                    "remedy": "Did you mean hosts?",
                },
                {
                    "line": 6,
                    "column": 13,
                    "field": "execution[0].steps[0]",
                    "what": "'noop.Hello' is no step",
                    "remedy": "Write noop:Hello",
                },
            ],
        },
    ]


def test_files_that_are_no_playbooks_are_a_slip_of_the_command(place: Place) -> None:
    place.write("good.yaml", GOOD)
    place.write("notes.txt", "")
    said = place.type("playbook", "check", "good.yaml", "none.yaml", "notes.txt", ".", code=64)
    assert said.out == ""
    assert said.err.splitlines() == [
        "headway: there is no file none.yaml",
        "notes.txt is no playbook by its name: it must end in .yaml, .yml, .json",
        ". is no playbook by its name: it must end in .yaml, .yml, .json",
    ]
    assert "Usage: headway playbook check" in place.type("playbook", "check", code=64).err


def test_a_hostile_playbook_is_one_line(place: Place) -> None:
    layers = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    place.write("bomb.yaml", "a0: &a0 [x]\n" + layers)
    place.write("deep.yaml", "[" * 60_000)
    place.write("ugly.yaml", 'name: "\\e[31m"\n"\\e]0;x\\a": 1\n')
    said = place.type("playbook", "check", "bomb.yaml", "deep.yaml", "ugly.yaml", code=1)
    assert "holds more than 10,000 values" in said.lines[0]
    assert "is nested more than 64 deep" in said.lines[1]
    assert "\x1b" not in said.out

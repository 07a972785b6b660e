"""Device profiles and the registry that finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.devices.profile import DeviceProfile, ProfileError, known_fields, load_profile
from harness.devices.profile_problems import example
from harness.devices.registry import device_names, get_profile, is_user_profile


def user_profile(home_folder: Path, name: str, text: str) -> Path:
    path = home_folder / "devices" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [unclosed", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\tname: mine", "not YAML"),
        ("name: mine\ndescription: 2024-13-45", "not YAML"),
        ("name: mine\nbatch: !!int x", "not YAML"),
        ("name: mine\nbatch: !!bool perhaps", "not YAML"),
        ("name: !!timestamp x", "not YAML"),
        ("[" * 5000, "not YAML"),
        ("name: !!python/object/apply:os.system [touch /tmp/x]", "not YAML"),
        ("", "mapping"),
        ("- name", "mapping"),
        ("just text", "mapping"),
        ("{}", "field name"),
        ("name: other", "'other'"),
        ("name: 'a b'", "field name"),
        ("name: mine\nbatchsize: 3", "field batchsize"),
        ("name: mine\n1: 2", "field"),
        ("name: mine\nbatch: 0", "field batch"),
        ("name: mine\nbatch: 70000", "field batch"),
        ("name: mine\nbatch: many", "field batch"),
        ("name: mine\nbatch: '4'", "field batch"),
        ("name: mine\nbatch: true", "field batch"),
        ("name: mine\nbackend: abacus", "field backend"),
        ("name: mine\ntransport: pigeon", "field transport"),
        ("name: mine\noptions: 3", "field options"),
        ("name: mine\noptions: {thread: 3}", "field options.thread"),
        ("name: mine\noptions: {threads: 0}", "field options.threads"),
        ("name: mine\noptions: {affinity: some}", "field options.affinity"),
        ("name: mine\noptions: {affinity: [0, -1]}", "field options.affinity"),
        ("name: mine\noptions: {graph_optimization: best}", "field options.graph_optimization"),
        ("name: mine\npolicy: {precision: 1.5}", "field policy.precision"),
        ("name: mine\npolicy: {precision: .nan}", "field policy.precision"),
        ("name: mine\npolicy: {max_time_s: .inf}", "field policy.max_time_s"),
        ("name: mine\npolicy: {timeout_s: -1}", "field policy.timeout_s"),
        ("name: mine\npolicy: {memory_limit_mb: 0}", "field policy.memory_limit_mb"),
    ],
)
def test_broken_profile_is_told_with_file_and_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert str(path) in str(caught.value) and says in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("{}", []),
        ("name: 5", ["name"]),
        ("batchsize: 3", ["batchsize"]),
        ("batch: 0", ["batch"]),
        ("batch: '4'", ["batch"]),
        ("batch: 1.0", ["batch"]),
        ("description:", ["description"]),
        ("transport: pigeon", ["transport"]),
        ("transport: {ssh: {prot: 3}}", ["transport"]),
        ("transport: {ssh: {port: '22'}}", ["transport"]),
        ("transport: {ssh: {systemd: 'yes'}}", ["transport"]),
        ("transport: {ssh: 3}", ["transport"]),
        ("tdp_w: 15 W", ["tdp_w"]),
        ("options: 3", ["options"]),
        ("options: {thread: 3}", ["options"]),
        ("options: {affinity: some}", ["options"]),
        ("options: {affinity: [0, -1]}", ["options"]),
        ("options: {quantize: int4}", ["options"]),
        ("backend: tvm\noptions: {threads: many}", ["options"]),
        ("policy: {precision: 1e-2}", ["policy"]),
        ("policy: {memory_limit_mb: 0}", ["policy"]),
        ("power_sensor: {current_unit: A}", ["power_sensor"]),
        ("power_sensor: {window_s: 0}", ["power_sensor"]),
    ],
)
def test_the_example_that_an_error_gives_works(tmp_path: Path, text: str, bad: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    content = {"name": "mine", **yaml.safe_load(text)} if bad else {}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    said = str(caught.value)
    assert all(f"field {name}" in said for name in bad)
    advice = yaml.safe_load(said.split("as in ")[1])
    path.write_text(yaml.safe_dump({**{k: v for k, v in content.items() if k not in bad}, **advice}))
    assert load_profile(path).name == "mine"


def test_every_field_has_an_example_that_works(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    known = known_fields("mine")
    fields = [[name] for name in known]
    fields += [[name, inner] for name, value in known.items() if isinstance(value, dict) for inner in value]
    fields += [["transport", "ssh", name] for name in known["transport"]["ssh"]]
    for field in fields:
        path.write_text(f"name: mine\n{example(field, known)}\n" if field != ["name"] else "name: mine")
        assert load_profile(path).name == "mine", field


@pytest.mark.parametrize(
    "text",
    [
        "batch: 2\nname: mine\nbatch: 3",
        "name: mine\nbatch: 010",
        "name: mine\nbatch: 1_0",
        "name: mine\nbatch: 1:30",
        "name: mine\ntransport: {ssh: {systemd: yes}}",
        "name: mine\ntransport: {ssh: {port: 0022}}",
        "name: mine\ndescription: no",
        "name: mine\npolicy: &one {warmup_s: 1}",
        "name: mine\npolicy: {<<: {warmup_s: 1}}",
        "name: mine\n---\nname: mine",
        "name: !!str mine",
        "name: mine\nyes: 1",
    ],
)
def test_yaml_that_surprises_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=r"mine\.yaml.*line \d"):
        load_profile(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_profile_with_a_mark_and_other_line_ends(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("name: mine\r\nbatch: 3\r\ndescription: für alle\r\n".encode(encoding))
    profile = load_profile(path)
    assert (profile.batch, profile.description) == (3, "für alle")


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\x80\x04\x95pickled")
    with pytest.raises(ProfileError, match="pickle"):
        load_profile(path)


def test_unreadable_profile(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    for path in (tmp_path / "mine.yaml", tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ProfileError, match="cannot be read"):
            load_profile(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.text(max_size=60) | st.text(alphabet="name:mine\n -{}[]!&*?|>'\"0.,#%@`", max_size=40))
def test_any_text_gives_a_profile_or_a_profile_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert load_profile(path).name == "mine"
    except ProfileError as error:
        assert str(path) in str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        dict,
        batch=st.integers(1, 65536),
        description=st.text(),
        options=st.fixed_dictionaries(
            {}, optional={"threads": st.integers(1, 1024), "affinity": st.lists(st.integers(0, 64))}
        ),
        policy=st.fixed_dictionaries(
            {},
            optional={
                "precision": st.floats(0.001, 0.5),
                "max_time_s": st.integers(1, 100),
                "memory_limit_mb": st.none() | st.integers(1, 10**6),
            },
        ),
    )
)
def test_profile_round_trip(tmp_path: Path, content: dict[str, object]) -> None:
    profile = DeviceProfile.model_validate({"name": "mine", **content})
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(profile.model_dump()), encoding="utf-8")
    assert load_profile(path) == profile


def test_shipped_profiles_are_valid() -> None:
    names = device_names()
    assert {"cpu", "gpu"} <= set(names)
    for name in names:
        assert get_profile(name).name == name and not is_user_profile(name)


def test_user_profile_shadows_the_shipped_one(home_folder: Path) -> None:
    user_profile(home_folder, "cpu", "name: cpu\nbatch: 7")
    user_profile(home_folder, "board", "name: board")
    assert get_profile("cpu").batch == 7 and get_profile("cpu").id == "cpu@7"
    assert is_user_profile("cpu") and is_user_profile("board") and not is_user_profile("gpu")
    assert "board" in device_names()


def test_a_broken_profile_does_not_hide_the_others(home_folder: Path) -> None:
    user_profile(home_folder, "bad", "name: [")
    assert get_profile("cpu").name == "cpu"
    with pytest.raises(ProfileError, match=r"bad\.yaml"):
        get_profile("bad")


def test_name_with_batch_is_another_device() -> None:
    assert get_profile("cpu").id == "cpu"
    assert get_profile("cpu@1").id == "cpu", "batch 1 is the plain device"
    assert get_profile("cpu@32").id == "cpu@32" and get_profile("cpu@32").batch == 32


@pytest.mark.parametrize(
    "spec", ["", "nope", "cpu@", "cpu@0", "cpu@-1", "cpu@x", "cpu@99999", "../cpu", "cpu\n", "@3", "cpu@3@3"]
)
def test_bad_device_name(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_profile(spec)
    assert repr(spec) in str(caught.value)


def test_paths_of_a_profile_begin_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that an earlier version stored began where it was called, and are found there still."""
    folder, elsewhere = tmp_path / "devices", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "old key").touch()
    (folder / "pi.yaml").write_text(
        "name: pi\ntransport: {ssh: {identity_file: keys/pi, known_hosts: ~/boards}}\n"
    )
    old = "name: old\ntransport: {ssh: {identity_file: old key, known_hosts: /k}}\n"
    (folder / "old.yaml").write_text(old)
    new, earlier = load_profile(folder / "pi.yaml").ssh, load_profile(folder / "old.yaml").ssh
    assert new is not None and earlier is not None
    assert (new.identity_file, new.known_hosts) == (str(folder / "keys/pi"), "~/boards")
    assert (earlier.identity_file, earlier.known_hosts) == (str(elsewhere / "old key"), "/k")
    (folder / "old key").touch()
    found = load_profile(folder / "old.yaml").ssh
    assert found is not None and found.identity_file == str(folder / "old key")

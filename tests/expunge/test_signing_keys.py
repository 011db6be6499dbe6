import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from expunge.errors import UsageError
from expunge.signing import KeyFiles, Signer, generate_keys, verify_minisig, verify_oms

SUMS = b"0" * 64 + b"  data/a.parquet\n"
COMMENT = "list@2024-01-01+1 serial 1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signer(keys: KeyFiles) -> Signer:
    return Signer.from_files(keys.minisign_key, keys.oms_key)


def test_new_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    made = generate_keys(tmp_path / "a" / "keys")
    assert stat.S_IMODE(made.minisign_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.oms_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.minisign_key.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in made.minisign_key.parent.iterdir()) == [
        "minisign.key",
        "minisign.pub",
        "oms.key",
        "oms.pub",
    ]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["keys"]


def test_new_keys_never_overwrite(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "something").write_text("mine")
    with pytest.raises(UsageError, match="Nothing was overwritten"):
        generate_keys(tmp_path / "keys")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="Nothing was overwritten"):
        generate_keys(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written here"):
        generate_keys(tmp_path / "file" / "keys")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "keys"]
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["something"]
    assert (tmp_path / "file").read_text() == "mine"


def test_encrypted_keys_need_their_password(tmp_path: Path) -> None:
    made = generate_keys(tmp_path / "keys", password="correct horse")
    signer = Signer.from_files(made.minisign_key, made.oms_key, password="correct horse")
    assert verify_minisig(SUMS, signer.sign_sums(SUMS, COMMENT), made.minisign_pub) == COMMENT
    verify_oms(signer.sign_files({}, "x"), {}, made.oms_pub)
    for password, problem in ((None, "is encrypted. Give its password"), ("wrong", "password")):
        for pair in ((made.minisign_key, None), (None, made.oms_key)):
            with pytest.raises(UsageError, match=problem):
                Signer.from_files(*pair, password=password)


def test_a_password_is_not_needed_and_does_not_disturb(keys: KeyFiles) -> None:
    signer = Signer.from_files(keys.minisign_key, keys.oms_key, password="unused")
    assert verify_minisig(SUMS, signer.sign_sums(SUMS, COMMENT), keys.minisign_pub) == COMMENT


def test_a_signer_says_which_keys_it_has(keys: KeyFiles) -> None:
    only_minisign = Signer.from_files(keys.minisign_key, None)
    only_oms = Signer.from_files(None, keys.oms_key)
    assert only_minisign.minisign_public == keys.minisign_pub.read_text().splitlines()[1]
    assert only_oms.oms_public == keys.oms_pub.read_text()
    assert only_minisign.oms_public is None
    assert only_oms.minisign_public is None
    with pytest.raises(UsageError, match="no P-256 key"):
        only_minisign.sign_files({}, "x")
    with pytest.raises(UsageError, match="no minisign key"):
        only_oms.sign_sums(SUMS, COMMENT)


def test_a_signer_never_shows_its_keys(signer: Signer, keys: KeyFiles) -> None:
    secret = keys.minisign_key.read_text().splitlines()[1]
    assert "PRIVATE" not in repr(signer)
    assert secret not in repr(signer)


def test_a_damaged_or_wrong_secret_key_is_named(tmp_path: Path, keys: KeyFiles) -> None:
    lines = keys.minisign_key.read_bytes().splitlines()
    raw = bytearray(base64.b64decode(lines[1]))
    raw[70] ^= 1  # inside the secret half
    damaged = tmp_path / "damaged.key"
    damaged.write_bytes(lines[0] + b"\n" + base64.b64encode(raw) + b"\n")
    with pytest.raises(UsageError, match=r"damaged\.key: this secret key is damaged"):
        Signer.from_files(damaged, None)
    for content in (b"", b"hello", keys.minisign_pub.read_bytes(), keys.oms_key.read_bytes()):
        damaged.write_bytes(content)
        with pytest.raises(UsageError, match=r"damaged\.key: this is not a minisign secret key"):
            Signer.from_files(damaged, None)
    for content in (b"", b"hello", keys.minisign_key.read_bytes(), keys.oms_key.read_bytes()[:100]):
        damaged.write_bytes(content)
        with pytest.raises(UsageError, match=r"damaged\.key: this is not a secret key in PEM form"):
            Signer.from_files(None, damaged)


@pytest.mark.parametrize(
    "other", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_model_signing_takes_p256_only(
    tmp_path: Path, other: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    secret, public = tmp_path / "o.key", tmp_path / "o.pub"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(other.private_bytes(*form))
    public.write_bytes(
        other.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(UsageError, match="not a P-256 key"):
        Signer.from_files(None, secret)
    with pytest.raises(UsageError, match="not a P-256 public key"):
        verify_oms(b"", {}, public)


def test_a_wrong_public_key_is_named(tmp_path: Path, keys: KeyFiles) -> None:
    wrong = tmp_path / "wrong.pub"
    wrong.write_text("hello")
    with pytest.raises(UsageError, match=r"wrong\.pub: this is not a minisign public key"):
        verify_minisig(SUMS, b"", wrong)
    with pytest.raises(UsageError, match="This is not a minisign public key"):
        verify_minisig(SUMS, b"", "hello")
    with pytest.raises(UsageError, match=r"wrong\.pub: this is not a public key in PEM form"):
        verify_oms(b"", {}, wrong)
    with pytest.raises(UsageError, match="This is not a public key in PEM form"):
        verify_oms(b"", {}, "hello")


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(UsageError, match="absent: this key cannot be read: No such file"):
        Signer.from_files(absent, None)
    with pytest.raises(UsageError, match="absent: this key cannot be read"):
        Signer.from_files(None, absent)
    with pytest.raises(UsageError, match="absent: this key cannot be read"):
        verify_minisig(SUMS, b"", absent)
    with pytest.raises(UsageError, match="absent: this key cannot be read"):
        verify_oms(b"", {}, absent)

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from expunge.errors import UsageError, VerificationFailed
from expunge.signing import (
    OMS_SIGNATURE,
    SIGNATURE_FILES,
    SUMS_SIGNATURE,
    KeyFiles,
    Signer,
    generate_keys,
    verify_minisig,
    verify_oms,
)

MINISIGN = shutil.which("minisign")
needs_minisign = pytest.mark.skipif(MINISIGN is None, reason="the program minisign is not installed")
SUMS = b"0" * 64 + b"  data/a.parquet\n"
COMMENT = "list@2024-01-01+1 serial 1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signer(keys: KeyFiles) -> Signer:
    return Signer.from_files(keys.minisign_key, keys.oms_key)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate_keys(tmp_path_factory.mktemp("others"))


@pytest.fixture
def release(tmp_path: Path, signer: Signer) -> Path:
    """A signed folder such as a release is."""
    folder = tmp_path / "a release"
    for name in (
        "data/b/a.csv",
        "data/B.parquet",
        "data/a b.parquet",
        "data/b.csv",
        "diff/keys.parquet",
        "release.json",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    digests = digests_of(folder)
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()
    (folder / "SHA256SUMS").write_bytes(sums)
    (folder / SUMS_SIGNATURE).write_bytes(signer.sign_sums(sums, COMMENT))
    (folder / OMS_SIGNATURE).write_bytes(signer.sign_files(digests_of(folder), "list@2024-01-01+1"))
    (folder / "release.tlog-proof").write_text("added afterwards")
    return folder


def digests_of(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if name not in SIGNATURE_FILES
    }


def run_model_signing(release: Path, public: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "verify",
        "key",
        "--signature",
        str(release / OMS_SIGNATURE),
    ]
    return subprocess.run(
        [*command, "--public_key", str(public), str(release)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_minisign(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    assert MINISIGN is not None
    command = [MINISIGN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=stdin)


# --------------------------------------------------------------------------------------------------- with the real programs


@needs_minisign
def test_debians_minisign_verifies_the_sums(release: Path, keys: KeyFiles, others: KeyFiles) -> None:
    verified = run_minisign("-V", "-p", keys.minisign_pub, "-m", release / "SHA256SUMS")
    assert verified.returncode == 0, verified.stderr
    assert COMMENT in verified.stdout
    assert run_minisign("-V", "-p", others.minisign_pub, "-m", release / "SHA256SUMS").returncode != 0
    (release / "SHA256SUMS").write_bytes(SUMS)
    assert run_minisign("-V", "-p", keys.minisign_pub, "-m", release / "SHA256SUMS").returncode != 0


@needs_minisign
def test_debians_minisign_takes_the_public_key_as_text(release: Path, signer: Signer) -> None:
    assert signer.minisign_public is not None
    assert run_minisign("-V", "-P", signer.minisign_public, "-m", release / "SHA256SUMS").returncode == 0


@needs_minisign
@pytest.mark.parametrize("password", [None, "correct horse"])
def test_debians_minisign_signs_with_our_keys(tmp_path: Path, password: str | None) -> None:
    made = generate_keys(tmp_path / "keys", password=password)
    (tmp_path / "f").write_bytes(SUMS)
    signed = run_minisign(
        "-S", "-s", made.minisign_key, "-m", tmp_path / "f", "-t", "by hand", stdin=f"{password}\n"
    )
    assert signed.returncode == 0, signed.stderr
    assert verify_minisig(SUMS, (tmp_path / "f.minisig").read_bytes(), made.minisign_pub) == "by hand"


@needs_minisign
def test_we_sign_with_the_keys_of_debians_minisign(tmp_path: Path) -> None:
    secret, public = tmp_path / "m.key", tmp_path / "m.pub"
    made = run_minisign("-G", "-s", secret, "-p", public, stdin="correct horse\ncorrect horse\n")
    assert made.returncode == 0, made.stderr
    signer = Signer.from_files(secret, None, password="correct horse")
    assert verify_minisig(SUMS, signer.sign_sums(SUMS, COMMENT), public) == COMMENT
    with pytest.raises(UsageError, match=r"m\.key: this key cannot be opened: wrong password"):
        Signer.from_files(secret, None, password="wrong")
    with pytest.raises(UsageError, match=r"m\.key: this key is encrypted. Give its password"):
        Signer.from_files(secret, None)


def test_model_signing_verifies_the_release(release: Path, keys: KeyFiles) -> None:
    verified = run_model_signing(release, keys.oms_pub)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "Verification succeeded" in verified.stdout + verified.stderr


@pytest.mark.parametrize("change", ["changed", "missing", "additional", "key"])
def test_model_signing_refuses_anything_else(
    release: Path, keys: KeyFiles, others: KeyFiles, change: str
) -> None:
    if change == "changed":
        (release / "data/b.csv").write_text("data/b.csx")
    elif change == "missing":
        (release / "data/b.csv").unlink()
    elif change == "additional":
        (release / "data/c.csv").write_text("")
    refused = run_model_signing(release, others.oms_pub if change == "key" else keys.oms_pub)
    assert refused.returncode == 1
    assert "Verification failed" in refused.stdout + refused.stderr


def test_we_verify_what_model_signing_signs(release: Path, keys: KeyFiles) -> None:
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "sign",
        "key",
        "--private_key",
        str(keys.oms_key),
        "--no-ignore-git-paths",
    ]
    for name in SIGNATURE_FILES:
        command += ["--ignore-paths", str(release / name)]
    signed = subprocess.run(
        [*command, "--signature", str(release / OMS_SIGNATURE), str(release)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert signed.returncode == 0, signed.stdout + signed.stderr
    verify_oms((release / OMS_SIGNATURE).read_bytes(), digests_of(release), keys.oms_pub)


# ---------------------------------------------------------------------------------------------------------- minisign, by us


def test_the_trusted_comment_comes_back(signer: Signer, keys: KeyFiles) -> None:
    signature = signer.sign_sums(SUMS, COMMENT)
    assert signature.endswith(b"\n")
    assert verify_minisig(SUMS, signature, keys.minisign_pub) == COMMENT
    assert signer.minisign_public is not None
    assert verify_minisig(SUMS, signature, signer.minisign_public) == COMMENT


def test_a_changed_sum_comment_or_signature_fails(signer: Signer, keys: KeyFiles) -> None:
    signature = signer.sign_sums(SUMS, COMMENT)
    with pytest.raises(VerificationFailed, match="not a signature of these sums"):
        verify_minisig(SUMS + b"\n", signature, keys.minisign_pub)
    with pytest.raises(VerificationFailed, match="not a signature of these sums"):
        verify_minisig(SUMS, signature.replace(b"serial 1", b"serial 2"), keys.minisign_pub)
    with pytest.raises(VerificationFailed, match="not a minisign signature"):
        verify_minisig(SUMS, b"hello\n", keys.minisign_pub)
    for at in range(len(signature)):
        changed = bytearray(signature)
        changed[at] ^= 1
        try:
            verify_minisig(SUMS, bytes(changed), keys.minisign_pub)
        except VerificationFailed:
            continue
        assert signature.startswith(b"untrusted comment: ")
        assert (
            at < signature.index(b"\n") or at == len(signature) - 1
        )  # the untrusted comment and the last line end


def test_a_signature_of_another_key_fails(signer: Signer, others: KeyFiles) -> None:
    with pytest.raises(VerificationFailed, match="by the given key"):
        verify_minisig(SUMS, signer.sign_sums(SUMS, COMMENT), others.minisign_pub)


@pytest.mark.parametrize("comment", ["two\nlines", "caf\u00e9", "x" * 9000])
def test_a_trusted_comment_is_one_line_of_ascii(signer: Signer, comment: str) -> None:
    with pytest.raises(UsageError, match="trusted comment cannot be signed"):
        signer.sign_sums(SUMS, comment)


# --------------------------------------------------------------------------------------------------------------- OMS, by us


def test_the_bundle_is_what_the_specification_says(release: Path, signer: Signer) -> None:
    bundle = json.loads((release / OMS_SIGNATURE).read_bytes())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert signer.oms_public is not None
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    assert hint == hashlib.sha256(signer.oms_public.encode()).hexdigest()
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    resources = statement["predicate"]["resources"]
    assert [resource["name"] for resource in resources] == sorted(digests_of(release))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert statement["predicate"]["serialization"]["ignore_paths"] == sorted(SIGNATURE_FILES)
    root = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()
    assert statement["subject"] == [{"name": "list@2024-01-01+1", "digest": {"sha256": root}}]


def test_we_verify_our_bundle(release: Path, keys: KeyFiles, signer: Signer) -> None:
    bundle = (release / OMS_SIGNATURE).read_bytes()
    verify_oms(bundle, digests_of(release), keys.oms_pub)
    assert signer.oms_public is not None
    verify_oms(bundle, digests_of(release), signer.oms_public)


def test_signing_again_gives_the_same_bytes(signer: Signer) -> None:
    digests = {"b": "00" * 32, "a": "11" * 32}
    again = {"a": "11" * 32, "b": "00" * 32}
    assert signer.sign_files(digests, "x") == signer.sign_files(again, "x")
    assert signer.sign_sums(SUMS, COMMENT) == signer.sign_sums(SUMS, COMMENT)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"a": "22" * 32}, "a is not what was signed."),
        ({"c": "22" * 32}, "c is here and was not signed."),
        ({"a": None}, "a was signed and is missing."),
    ],
)
def test_other_files_than_the_signed_ones_are_named(
    signer: Signer, keys: KeyFiles, change: Mapping[str, str | None], difference: str
) -> None:
    digests: dict[str, str | None] = {"a": "11" * 32, "b": "00" * 32}
    bundle = signer.sign_files({name: digest for name, digest in digests.items() if digest}, "x")
    now = {name: digest for name, digest in {**digests, **change}.items() if digest}
    with pytest.raises(VerificationFailed) as failed:
        verify_oms(bundle, now, keys.oms_pub)
    assert failed.value.differences == [difference]


def test_a_bundle_of_another_key_fails(signer: Signer, others: KeyFiles) -> None:
    with pytest.raises(VerificationFailed, match="another key"):
        verify_oms(signer.sign_files({}, "x"), {}, others.oms_pub)


def signed_by(keys: KeyFiles, payload: bytes) -> bytes:
    """Return a bundle with a valid signature over any payload."""
    bundle = json.loads(Signer.from_files(None, keys.oms_key).sign_files({}, "x"))
    key = serialization.load_pem_private_key(keys.oms_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(
        b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload, ec.ECDSA(hashes.SHA256())
    )
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(bundle).encode()


def test_a_signed_statement_about_something_else_fails(signer: Signer, keys: KeyFiles) -> None:
    statement: dict[str, Any] = json.loads(
        base64.b64decode(json.loads(signer.sign_files({"a": "11" * 32}, "x"))["dsseEnvelope"]["payload"])
    )
    verify_oms(signed_by(keys, json.dumps(statement).encode()), {"a": "11" * 32}, keys.oms_pub)
    resources = statement["predicate"]["resources"]
    others = [
        b"hello",
        b"[]",
        json.dumps({**statement, "predicateType": "https://slsa.dev/provenance/v1"}).encode(),
        json.dumps({**statement, "subject": []}).encode(),
        json.dumps({**statement, "subject": [{"digest": {"sha256": "00" * 32}}]}).encode(),
        json.dumps(
            {**statement, "predicate": {"resources": [{**resources[0], "algorithm": "blake3"}]}}
        ).encode(),
        json.dumps({**statement, "predicate": {"resources": [*resources, *resources]}}).encode(),
    ]
    for payload in others:
        with pytest.raises(VerificationFailed, match="not about the files of a release"):
            verify_oms(signed_by(keys, payload), {"a": "11" * 32}, keys.oms_pub)


def test_a_changed_payload_or_signature_fails(signer: Signer, keys: KeyFiles) -> None:
    bundle = json.loads(signer.sign_files({"a": "11" * 32}, "x"))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b'"a"', b'"b"')
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(VerificationFailed, match="changed after it was signed"):
        verify_oms(json.dumps(bundle).encode(), {"b": "11" * 32}, keys.oms_pub)


@pytest.mark.parametrize(
    "bundle",
    [
        b"",
        b"\xff",
        b"null",
        b"{}",
        b"[1]",
        b'{"verificationMaterial": {"publicKey": {"hint": "x"}}, "dsseEnvelope": {"payload": 3}}',
        json.dumps(
            {
                "mediaType": "other",
                "verificationMaterial": {"publicKey": {"hint": "x"}},
                "dsseEnvelope": {"payload": "", "payloadType": "x", "signatures": [{"sig": ""}]},
            }
        ).encode(),
    ],
)
def test_what_is_no_bundle_fails(bundle: bytes, keys: KeyFiles) -> None:
    with pytest.raises(VerificationFailed, match="not a Model Signing bundle"):
        verify_oms(bundle, {}, keys.oms_pub)

"""Signatures of a release, made and verified with plain keys and no service.

Two signatures over the same files, each verified by a program that people already have:

- `SHA256SUMS.minisig`, Ed25519, over the file SHA256SUMS. It works on a partial download:
  `minisign -V -p minisign.pub -m SHA256SUMS && sha256sum -c --ignore-missing SHA256SUMS`
- `dataset.sig`, P-256, an OpenSSF Model Signing bundle over every file but the signatures:
  `model_signing verify key --signature RELEASE/dataset.sig --public_key oms.pub RELEASE`
  (PyPI's model-signing, which needs pyOpenSSL beside it). A missing, changed or additional file fails; the bundle itself
  names the files in SIGNATURE_FILES as ignored, so no further option is needed.

Both algorithms are used in their deterministic form (RFC 8032, RFC 6979): the same release signed again by the same keys
gives the same bytes.
"""

import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import minisign
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from expunge.errors import UsageError, VerificationFailed

SUMS_SIGNATURE = "SHA256SUMS.minisig"
OMS_SIGNATURE = "dataset.sig"
SIGNATURE_FILES = (SUMS_SIGNATURE, OMS_SIGNATURE, "release.tlog-proof")
"""Files of a release that are made after its sums, so no signature covers them."""

_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a new pair of key pairs lies."""

    minisign_key: Path
    minisign_pub: Path
    oms_key: Path
    oms_pub: Path


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Secret keys, loaded once. Either may be missing; a signature by a missing key raises UsageError."""

    _minisign: minisign.SecretKey | None
    _oms: ec.EllipticCurvePrivateKey | None

    @classmethod
    def from_files(
        cls, minisign_key: Path | None, oms_key: Path | None, *, password: str | None = None
    ) -> Self:
        """Load secret keys; `password` opens whichever of them is encrypted.

        Raises UsageError, naming the file, for one that is missing or no such key, and for a wrong or missing password.
        """
        return cls(
            None if minisign_key is None else _load_minisign_key(minisign_key, password),
            None if oms_key is None else _load_oms_key(oms_key, password),
        )

    @property
    def minisign_public(self) -> str | None:
        """The minisign public key as its line of base64, as `minisign -P` takes it."""
        return None if self._minisign is None else self._minisign.get_public_key().to_base64().decode()

    @property
    def oms_public(self) -> str | None:
        """The P-256 public key as PEM."""
        return None if self._oms is None else _pem(self._oms.public_key()).decode()

    def sign_sums(self, sums: bytes, trusted_comment: str) -> bytes:
        """Sign the content of SHA256SUMS; return the content of SHA256SUMS.minisig.

        `trusted_comment` is signed too, and shown by minisign: one line of printable ASCII. Raises UsageError otherwise.
        """
        if self._minisign is None:
            raise UsageError("There is no minisign key to sign with. Give one with --minisign-key.")
        try:
            signature = self._minisign.sign(sums, trusted_comment=trusted_comment)
        except minisign.Error as error:
            raise UsageError(f"The trusted comment cannot be signed: {error}.") from error
        return bytes(signature) + b"\n"

    def sign_files(self, digests: Mapping[str, str], name: str) -> bytes:
        """Sign a release's files; return the content of dataset.sig.

        `digests` maps each path inside the release (POSIX) to its SHA-256 in hex and leaves SIGNATURE_FILES out; `name`
        says what was signed.
        """
        if self._oms is None:
            raise UsageError("There is no P-256 key to sign with. Give one with --oms-key.")
        payload = json.dumps(_statement(digests, name), separators=(",", ":")).encode()
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        bundle = {
            "mediaType": _BUNDLE_TYPE,
            "verificationMaterial": {
                "publicKey": {"hint": _hint(self._oms.public_key())},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": _PAYLOAD_TYPE,
                "signatures": [
                    {
                        "sig": base64.b64encode(self._oms.sign(_to_sign(payload), algorithm)).decode(),
                        "keyid": "",
                    }
                ],
            },
        }
        return json.dumps(bundle).encode() + b"\n"


def verify_minisig(data: bytes, signature: bytes, public: Path | str) -> str:
    """Verify a minisign signature of `data`; return its trusted comment.

    `public` is a public key file or, as str, its line of base64. Raises VerificationFailed if `signature` is not that key's
    signature of these bytes, UsageError if `public` is no minisign public key.
    """
    where = f"{public}: this" if isinstance(public, Path) else "This"
    try:
        key = (
            minisign.PublicKey.from_bytes(_read(public))
            if isinstance(public, Path)
            else minisign.PublicKey.from_base64(public)
        )
    except minisign.Error as error:
        raise UsageError(f"{where} is not a minisign public key: {error}.") from error
    try:
        parsed = minisign.Signature.from_bytes(signature)
        key.verify(data, parsed)
    except minisign.ParseError as error:
        raise VerificationFailed(f"{SUMS_SIGNATURE} is not a minisign signature: {error}.") from error
    except minisign.VerifyError as error:
        raise VerificationFailed(
            f"{SUMS_SIGNATURE} is not a signature of these sums by the given key: {error}."
        ) from error
    # One signature, one spelling: the parser passes over characters that are no base64.
    if bytes(parsed).splitlines()[1:] != signature.splitlines()[1:]:
        raise VerificationFailed(f"{SUMS_SIGNATURE} is not spelt as minisign writes it.")
    comment: str = parsed.trusted_comment
    return comment


def verify_oms(bundle: bytes, digests: Mapping[str, str], public: Path | str) -> None:
    """Verify a Model Signing bundle over exactly the files in `digests` (path to SHA-256 in hex).

    `public` is a PEM file or, as str, PEM itself. Raises VerificationFailed, with the files that differ, if the bundle is
    not that key's signature of these files, and UsageError if `public` is no P-256 public key.
    """
    key = _load_oms_public(public)
    try:
        parsed = json.loads(bundle)
        hint = parsed["verificationMaterial"]["publicKey"]["hint"]
        envelope = parsed["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        well_typed = parsed["mediaType"] == _BUNDLE_TYPE and envelope["payloadType"] == _PAYLOAD_TYPE
    except (ValueError, LookupError, TypeError) as error:
        raise VerificationFailed(f"{OMS_SIGNATURE} is not a Model Signing bundle.") from error
    if not well_typed:
        raise VerificationFailed(f"{OMS_SIGNATURE} is not a Model Signing bundle.")
    if hint != _hint(key):
        raise VerificationFailed(f"{OMS_SIGNATURE} was made with another key than the given one.")
    try:
        key.verify(signature, _to_sign(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise VerificationFailed(f"{OMS_SIGNATURE} was changed after it was signed.") from error
    _compare(_signed_digests(payload), digests)


def generate_keys(folder: Path, *, password: str | None = None) -> KeyFiles:
    """Make a minisign and a P-256 key pair in `folder`, which must not exist or be empty; encrypted if `password` is given.

    All four files appear at once or not at all; the folder and the secret keys are readable by their owner alone. Raises
    UsageError if there is anything in `folder`, or it cannot be made.
    """
    pair = minisign.KeyPair.generate()
    oms = ec.generate_private_key(ec.SECP256R1())
    public_line = bytes(pair.public_key) + b"\n"
    if password is not None:
        pair.secret_key.encrypt(password)
    encryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password.encode())
    )
    pem = oms.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    files = {
        "minisign.key": (bytes(pair.secret_key) + b"\n", 0o600),
        "minisign.pub": (public_line, 0o644),
        "oms.key": (pem, 0o600),
        "oms.pub": (_pem(oms.public_key()), 0o644),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    except OSError as error:
        raise UsageError(f"{folder}: the keys cannot be written here: {error.strerror}.") from error
    try:
        for name, (content, mode) in files.items():
            _write_new(aside / name, content, mode)
        aside.rename(folder)  # takes the place of nothing or of an empty folder, and fails on everything else
    except OSError as error:
        raise UsageError(
            f"{folder}: new keys need a folder that does not exist or is empty: {error.strerror}. "
            "Nothing was overwritten; name another folder."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return KeyFiles(*(folder / name for name in files))


# ------------------------------------------------------------------------------------------------------------- the bundle


def _statement(digests: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the in-toto statement: the files in the order of their names, and one digest over all of theirs."""
    resources = [{"name": path, "algorithm": "sha256", "digest": digests[path]} for path in sorted(digests)]
    return {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": sorted(SIGNATURE_FILES),
            },
            "resources": resources,
        },
    }


def _root(resources: Sequence[Mapping[str, str]]) -> str:
    """Return the digest over all digests, in the order in which the statement lists them."""
    return hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()


def _to_sign(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, which is what is signed."""
    return b"DSSEv1 %d %b %d %b" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _signed_digests(payload: bytes) -> dict[str, str]:
    """Return the digests that a statement is about. Its signature has been verified; its form may still be another."""
    problem = VerificationFailed(f"{OMS_SIGNATURE} is signed, but is not about the files of a release.")
    try:
        statement = json.loads(payload)
        (subject,) = statement["subject"]
        resources = statement["predicate"]["resources"]
        signed: dict[str, str] = {resource["name"]: resource["digest"] for resource in resources}
        right = (
            statement["_type"] == _STATEMENT_TYPE
            and statement["predicateType"] == _PREDICATE_TYPE
            and len(signed) == len(resources)
            and all(resource["algorithm"] == "sha256" for resource in resources)
            and subject["digest"]["sha256"] == _root(resources)
        )
    except (ValueError, LookupError, TypeError) as error:
        raise problem from error
    if not right:
        raise problem
    return signed


def _compare(signed: Mapping[str, str], digests: Mapping[str, str]) -> None:
    differences = [
        *(f"{name} was signed and is missing." for name in sorted(signed.keys() - digests.keys())),
        *(f"{name} is here and was not signed." for name in sorted(digests.keys() - signed.keys())),
        *(
            f"{name} is not what was signed."
            for name in sorted(signed.keys() & digests.keys())
            if signed[name] != digests[name]
        ),
    ]
    if differences:
        message = f"{OMS_SIGNATURE} was made for other files: {len(differences)} differ. {differences[0]}"
        raise VerificationFailed(message, differences[:_MOST_DIFFERENCES])


# --------------------------------------------------------------------------------------------------------------- the keys


def _load_minisign_key(path: Path, password: str | None) -> minisign.SecretKey:
    try:
        key = minisign.SecretKey.from_bytes(_read(path))
    except minisign.Error as error:
        raise UsageError(f"{path}: this is not a minisign secret key: {error}.") from error
    if key.is_encrypted():
        if password is None:
            raise UsageError(
                f"{path}: this key is encrypted. Give its password; the command line reads it from EXPUNGE_KEY_PASSWORD."
            )
        try:
            key.decrypt(password)
        except minisign.Error as error:
            raise UsageError(f"{path}: this key cannot be opened: {error}.") from error
    try:
        # A plain key has a checksum that nothing has looked at yet: see that its two halves belong together.
        key.get_public_key().verify(b"", key.sign(b""))
    except minisign.Error as error:
        raise UsageError(f"{path}: this secret key is damaged. Take a copy of it that is whole.") from error
    return key


def _load_oms_key(path: Path, password: str | None) -> ec.EllipticCurvePrivateKey:
    pem = _read(path)
    encrypted = b"ENCRYPTED" in pem
    if encrypted and password is None:
        raise UsageError(
            f"{path}: this key is encrypted. Give its password; the command line reads it from EXPUNGE_KEY_PASSWORD."
        )
    try:
        key = serialization.load_pem_private_key(
            pem, password.encode() if encrypted and password is not None else None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = ", or the password is wrong" if encrypted else ""
        raise UsageError(f"{path}: this is not a secret key in PEM form{hint}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path}: this is not a P-256 key, the kind that Model Signing takes.")
    return key


def _load_oms_public(public: Path | str) -> ec.EllipticCurvePublicKey:
    where = f"{public}: this" if isinstance(public, Path) else "This"
    try:
        key = serialization.load_pem_public_key(
            _read(public) if isinstance(public, Path) else public.encode()
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{where} is not a public key in PEM form.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{where} is not a P-256 public key, the kind that Model Signing takes.")
    return key


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    """Return how a bundle names its key: the SHA-256 of its PEM."""
    return hashlib.sha256(_pem(key)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: this key cannot be read: {error.strerror}.") from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that does not exist, never readable by others than `mode` says, and see it safely on disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123  Path.open takes no mode bits
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

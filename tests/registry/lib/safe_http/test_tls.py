from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registry.lib.safe_http import Limits, Outcome, Policy, Refused, Request, Response, fetch
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)


class Authority:
    """Signs certificates; `file` is what whoever trusts it is given."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        own = self._build(self.name, self.key, 0).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        signed = own.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str, *, days_ago: int = 0) -> ssl.SSLContext:
        """What a server named `host` needs; the certificate ended `days_ago`, or lasts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = (
            self._build(name, key, days_ago)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{host}-{days_ago}-server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _build(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days_ago: int
    ) -> x509.CertificateBuilder:
        ends = NOW - dt.timedelta(days=days_ago) if days_ago else NOW + dt.timedelta(days=30)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=60))
            .not_valid_after(ends)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "trusted")


def ask(
    server: WebServer, names: NameServer, authority: Authority | None, url: str = ""
) -> Response | Refused:
    names.knows("site.example.com", server.host)
    policy = Policy(
        name_servers=(names.address,),
        test_targets=frozenset({server.target}),
        ca_file=str(authority.file) if authority else "",
    )
    limits = Limits(connect_seconds=1)
    return fetch(Request(url or f"https://site.example.com:{server.port}/", limits=limits), policy=policy)


def refusal(result: Response | Refused) -> Outcome:
    assert isinstance(result, Refused)
    return result.outcome


def test_a_good_certificate_is_taken(names: NameServer, authority: Authority) -> None:
    with WebServer(answers(b"safe"), tls=authority.context("site.example.com")) as server:
        result = ask(server, names, authority)
        assert isinstance(result, Response)
        assert result.body == b"safe"


def test_a_certificate_of_another_name_is_refused(names: NameServer, authority: Authority) -> None:
    with WebServer(answers(), tls=authority.context("other.example.com")) as server:
        assert refusal(ask(server, names, authority)) == Outcome.TLS_ERROR
        assert server.requests == []


def test_an_expired_certificate_is_refused(names: NameServer, authority: Authority) -> None:
    with WebServer(answers(), tls=authority.context("site.example.com", days_ago=1)) as server:
        assert refusal(ask(server, names, authority)) == Outcome.TLS_ERROR
        assert server.requests == []


def test_a_certificate_of_a_stranger_is_refused(
    names: NameServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    with WebServer(answers(), tls=stranger.context("site.example.com")) as server:
        assert refusal(ask(server, names, authority)) == Outcome.TLS_ERROR
        assert refusal(ask(server, names, None)) == Outcome.TLS_ERROR
        assert server.requests == []


def test_an_address_is_no_name_that_a_certificate_of_a_name_covers(
    names: NameServer, authority: Authority
) -> None:
    with WebServer(answers(), tls=authority.context("site.example.com")) as server:
        assert (
            refusal(ask(server, names, authority, f"https://127.0.0.1:{server.port}/")) == Outcome.TLS_ERROR
        )


def test_old_protocols_are_refused(names: NameServer, authority: Authority) -> None:
    context = authority.context("site.example.com")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with WebServer(answers(), tls=context) as server:
        assert refusal(ask(server, names, authority)) == Outcome.TLS_ERROR


def test_a_server_without_tls_is_no_tls_server(names: NameServer, authority: Authority) -> None:
    with WebServer(answers()) as server:
        assert refusal(ask(server, names, authority)) in {Outcome.TLS_ERROR, Outcome.CONNECT_TIMEOUT}


def test_https_may_lead_to_http_and_the_hops_say_so(names: NameServer, authority: Authority) -> None:
    with (
        WebServer(answers(b"plain"), host="127.0.0.2") as plain,
        WebServer(redirects(plain.url), tls=authority.context("site.example.com")) as server,
    ):
        names.knows("site.example.com", server.host)
        policy = Policy(
            name_servers=(names.address,),
            test_targets=frozenset({server.target, plain.target}),
            ca_file=str(authority.file),
        )
        result = fetch(Request(f"https://site.example.com:{server.port}/"), policy=policy)
        assert isinstance(result, Response)
        assert (result.body, result.url) == (b"plain", plain.url)
        assert result.hops[0].url.startswith("https://")

"""docker/certificates.sh: an authority, and certificates that live until shortly before their end."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.docker.container import DOCKER


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_name_has_its_own_that_the_authority_signed(certificates: Path) -> None:
    authority = x509.load_pem_x509_certificate((certificates / "ca.pem").read_bytes())
    for name in ("orthanc", "serve", "label", "mlflow"):
        made = contents(certificates / name)
        node = x509.load_pem_x509_certificate(made["node.pem"])
        node.verify_directly_issued_by(authority)
        assert [value.value for value in node.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [name]
        names = node.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name, "localhost"]
        assert not node.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert made["both.pem"] == made["node.key"] + made["node.pem"]
        assert made["ca.pem"] == (certificates / "ca.pem").read_bytes()
        assert (certificates / name / "node.key").stat().st_mode & 0o777 == 0o640
    assert (certificates / "authority.key").stat().st_mode & 0o777 == 0o600
    assert len({(path / "node.key").read_bytes() for path in certificates.iterdir() if path.is_dir()}) == 4


def test_one_is_made_anew_only_before_its_end(certificates: Path) -> None:
    short, long = contents(certificates / "label"), contents(certificates / "mlflow")
    request = ["openssl", "req", "-x509", "-key", certificates / "label" / "node.key", "-subj", "/CN=label"]
    subprocess.run([*request, "-days", "20", "-out", certificates / "label" / "node.pem"], check=True)
    subprocess.run([DOCKER / "certificates.sh", certificates, "label", "mlflow"], check=True)
    assert contents(certificates / "mlflow") == long
    new = contents(certificates / "label")
    assert new["ca.pem"] == short["ca.pem"]
    assert new["node.key"] != short["node.key"]
    assert not [path for path in certificates.iterdir() if path.name.startswith(".")]

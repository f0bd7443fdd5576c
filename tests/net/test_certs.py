from pathlib import Path

from linkerd_tcp.net.certs import read_certs

SERIAL_0 = """\
-----BEGIN CERTIFICATE-----
MIIBYTCCAQagAwIBAgIBADAKBggqhkjOPQQDAjAOMQwwCgYDVQQDDANvbGQwIBcN
MjYxMTIxMTEyMDQ5WhgPMjEyNjEwMjgxMTIwNDlaMA4xDDAKBgNVBAMMA29sZDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABKomUzewVis9tWWh+mrxzqbhn5bOgw13
zS3x1LBbhUZQ8aKtvkqmmQScCTCeD2U9Ri5EjvGxZfqESICYGynMuryjUzBRMB0G
A1UdDgQWBBTctydWhcB4c8s1UxM6hUysymBr1zAfBgNVHSMEGDAWgBTctydWhcB4
c8s1UxM6hUysymBr1zAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYC
IQCdhCWvVq6oDnZgNJZidk9++r92MICu22hNpWFCz6qPqQIhAIjekZIgIwJmvPFh
PdCZ27olxV/1cmggJOx5S8VbMI0e
-----END CERTIFICATE-----
"""
"""By `openssl req -x509 -set_serial 0`; Debian's ca-certificates.crt has some such authorities."""


def test_an_authority_with_a_serial_number_of_old_is_read_without_a_word(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(SERIAL_0)
    told: list[str] = []
    [cert] = read_certs([str(bundle)], told)
    assert (cert.subject, told) == ("CN=old", [])

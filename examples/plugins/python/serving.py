"""What a plugin in Python needs, and no more: handshake, mutual TLS, services, metrics, log."""

import base64
import datetime
import http.server
import json
import os
import socketserver
import sys
import threading
from concurrent import futures
from dataclasses import dataclass
from typing import Callable

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from plugin.v1 import plugin_pb2  # made from proto/ of the gateway: see the README

COOKIE = "5712b87aa5d7e9f9e9ab643e6603181c5b796015cb1c09d6f5ada882bf2a1872"
SERVICE = "plugin.v1.GatewayDPluginService"
BYTES_MAX = 2**31 - 1


@dataclass
class Plugin:
    """What a plugin says about itself, and what it does."""

    name: str
    version: str
    description: str
    # By number: the method's name, and what is called with its Struct and returns one.
    hooks: dict[int, tuple[str, Callable]]
    metrics: Callable[[], str]


def log(level: str, message: str, **fields) -> None:
    """One line on standard error, as the gateway reads them: hclog's JSON."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    record = {"@level": level, "@message": message, "@timestamp": now, **fields}
    print(json.dumps(record), file=sys.stderr, flush=True)


def terminate(params) -> None:
    """Adds the signal by which a plugin refuses what it was asked about."""
    signal = params.fields["__signals__"].list_value.values.add().struct_value
    signal.fields["name"].string_value = "terminate"
    signal.fields["metadata"].struct_value.fields["terminate"].bool_value = True


def describe(plugin: Plugin, metrics_socket: str):
    """The answer to GetPluginConfig."""
    answer = plugin_pb2.Struct()
    identity = answer.fields["id"].struct_value
    identity.fields["name"].string_value = plugin.name
    identity.fields["version"].string_value = plugin.version
    answer.fields["description"].string_value = plugin.description
    config = answer.fields["config"].struct_value
    config.fields["metricsEnabled"].string_value = "true"
    config.fields["metricsUnixDomainSocket"].string_value = metrics_socket
    for number in plugin.hooks:
        answer.fields["hooks"].list_value.values.add().number_value = number
    return answer


def make_certificate() -> tuple[bytes, bytes, bytes]:
    """A key and a certificate of our own for localhost: PEM, PEM, and the certificate as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=30))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return secret, certificate.public_bytes(pem), der


def serve_metrics(path: str, page: Callable[[], str]) -> None:
    """Prometheus text over HTTP on a Unix socket, for as long as the process lives."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    # A socket that another process left would be in the way.
    if os.path.exists(path):
        os.remove(path)
    server = socketserver.ThreadingUnixStreamServer(path, Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def add_services(server: grpc.Server, plugin: Plugin, metrics_socket: str, end) -> None:
    """The hooks, the health check, and the end of the process."""
    description = describe(plugin, metrics_socket)
    methods = {"GetPluginConfig": lambda _: description, **dict(plugin.hooks.values())}
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda params, _, hook=hook: hook(params),
            request_deserializer=plugin_pb2.Struct.FromString,
            response_serializer=plugin_pb2.Struct.SerializeToString,
        )
        for name, hook in methods.items()
    }
    shutdown = grpc.unary_unary_rpc_method_handler(lambda *_: (end.set(), b"")[1])
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(SERVICE, handlers),
            grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": shutdown}),
        ]
    )
    checks = health.HealthServicer()
    checks.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)


def serve(plugin: Plugin) -> None:
    """Runs until the gateway says that it is over."""
    gateway = os.environ.get("PLUGIN_CLIENT_CERT")
    if os.environ.get("GATEWAYD_PLUGIN") != COOKIE or gateway is None:
        sys.exit("This is a plugin of a gateway and cannot be run by itself.")
    folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR", "/tmp")
    metrics_socket = os.environ.get("METRICS_UNIX_DOMAIN_SOCKET", f"{folder}/metrics.sock")
    serve_metrics(metrics_socket, plugin.metrics)
    options = [
        ("grpc.max_receive_message_length", BYTES_MAX),
        ("grpc.max_send_message_length", BYTES_MAX),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=options)
    end = threading.Event()
    add_services(server, plugin, metrics_socket, end)
    key, certificate, der = make_certificate()
    secrets = grpc.ssl_server_credentials([(key, certificate)], gateway.encode(), True)
    address = f"{folder}/plugin.sock"
    server.add_secure_port(f"unix:{address}", secrets)
    server.start()
    told = base64.b64encode(der).decode().rstrip("=")
    print(f"1|1|unix|{address}|grpc|{told}", flush=True)
    end.wait()
    server.stop(grace=1).wait()

"""TLS by hand, trusting anybody:

`tls.py show ADDRESS` prints the SHA-256 of the server's certificate,
`tls.py version ADDRESS 1.2` the version that is spoken when only that one is offered (status 3: none),
`tls.py ask ADDRESS NAME` sends standard input, with NAME in the handshake, and prints the answer.
"""

import hashlib
import socket
import ssl
import sys
import warnings

# Old versions are offered on purpose.
warnings.simplefilter("ignore", DeprecationWarning)


def context():
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return trusting


def connect(address, name, using):
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host.strip("[]"), int(port)), timeout=20)
    return using.wrap_socket(plain, server_hostname=name)


def show(address):
    with connect(address, "localhost", context()) as server:
        print(hashlib.sha256(server.getpeercert(binary_form=True)).hexdigest())


def version(address, offered):
    using = context()
    using.set_ciphers("ALL:@SECLEVEL=0")
    only = ssl.TLSVersion["TLSv" + offered.replace(".", "_")]
    using.minimum_version = using.maximum_version = only
    try:
        with connect(address, "localhost", using) as server:
            print(server.version())
    except (ssl.SSLError, ConnectionError):
        sys.exit(3)


def ask(address, name):
    with connect(address, name, context()) as server:
        server.sendall(sys.stdin.buffer.read())
        while block := server.recv(65536):
            sys.stdout.buffer.write(block)


{"show": show, "version": version, "ask": ask}[sys.argv[1]](*sys.argv[2:])

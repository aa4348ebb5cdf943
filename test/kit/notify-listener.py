# A service manager's ear, for tests: prints each datagram that comes to the Unix socket named by
# the first argument (a path, or @ and a name) as one line of JSON, from when it listens on ("[]").
import json, os, socket, sys

name = sys.argv[1]
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ear.bind("\0" + name[1:] if name.startswith("@") else name)
print("[]", flush=True)
while True:
    print(json.dumps(ear.recv(4096).decode().split("\n")), flush=True)

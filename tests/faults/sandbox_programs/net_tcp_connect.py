# ends: error
# control: escapes without the wall
import socket

socket.create_connection(("127.0.0.1", int("@PORT@")), timeout=2).sendall(b"hello")
print("ESCAPED")

# ends: error
# control: escapes without the wall
import socket

server = socket.create_server(("127.0.0.1", 0))
print("ESCAPED", server.getsockname())

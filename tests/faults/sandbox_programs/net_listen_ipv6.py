# ends: error
import socket

server = socket.socket(socket.AF_INET6)
server.bind(("::1", 0))
print("ESCAPED", server.getsockname())

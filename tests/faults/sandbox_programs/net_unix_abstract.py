# ends: error
# control: escapes without the wall
import socket

client = socket.socket(socket.AF_UNIX)
client.connect("\0@ABSTRACT@")
client.sendall(b"hello")
print("ESCAPED")

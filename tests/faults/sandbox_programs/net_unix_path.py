# ends: error
# control: escapes without the wall
import socket

client = socket.socket(socket.AF_UNIX)
client.connect("@CANARY@/listener")
client.sendall(b"hello")
print("ESCAPED")

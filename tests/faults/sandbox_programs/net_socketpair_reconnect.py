# ends: error
# control: escapes without the wall
# A pair is allowed (event loops need one); it must not become a way to the host's sockets.
import socket

one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b"hello", "\0@ABSTRACT_DATAGRAM@")
print("ESCAPED")

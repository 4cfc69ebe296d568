# ends: error ok timeout
# processes: 8
# A new interpreter stands behind the same wall.
import subprocess
import sys

program = "import socket; socket.create_connection(('127.0.0.1', int('@PORT@'))); print('ESCAPED')"
print(subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True))

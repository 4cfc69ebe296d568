# ends: error ok
# processes: 8
import subprocess

print(subprocess.run(["/bin/sh", "-c", "echo ESCAPED"], capture_output=True).stdout)

# ends: error
# control: escapes without the wall
import urllib.request

try:
    urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=2)
except urllib.error.URLError:
    raise
except Exception:
    pass  # the listener does not speak HTTP; it was reached
print("ESCAPED")

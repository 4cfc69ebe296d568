# ends: error
import sys

sys.path += ["@PROJECT@/src", "@SITE@"]
import groundup

print("ESCAPED", groundup.__file__)

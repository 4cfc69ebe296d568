# ends: error
# control: escapes without the wall
import asyncio


async def main():
    await asyncio.open_connection("127.0.0.1", int("@PORT@"))
    print("ESCAPED")


asyncio.run(main())

"""A web server on loopback that has the desk under a path, and something else everywhere besides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "upgrade",
}
NEIGHBOUR = "somebody else's page"


@asynccontextmanager
async def reverse_proxy(port: int, prefix: str, *, strips: bool = False) -> AsyncIterator[str]:
    """The proxy's URL; what is below the prefix goes to the port, with it or, if it `strips`, without."""
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def serve(request: web.Request) -> web.StreamResponse:
            path = request.rel_url.raw_path
            if path != prefix and not path.startswith(prefix + "/"):
                return web.Response(text=NEIGHBOUR)
            path = path.removeprefix(prefix) if strips else path
            url = f"http://127.0.0.1:{port}{path}" + (
                f"?{request.query_string}" if request.query_string else ""
            )
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _socket(client, request, url, headers)
            body = await request.read()
            async with client.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                reply = web.Response(status=answer.status, body=await answer.read())
                for name, value in answer.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        reply.headers.add(name, value)
                if "Content-Encoding" in answer.headers:
                    reply.headers["Content-Encoding"] = answer.headers["Content-Encoding"]
                return reply

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _socket(
    client: aiohttp.ClientSession, request: web.Request, url: str, headers: dict[str, str]
) -> web.StreamResponse:
    asked = {k: v for k, v in headers.items() if not k.lower().startswith("sec-websocket")}
    try:
        far = await client.ws_connect(url, headers=asked, max_msg_size=0)
    except aiohttp.WSServerHandshakeError as error:
        return web.Response(status=error.status)
    near = web.WebSocketResponse(max_msg_size=0)
    await near.prepare(request)

    async def forth() -> None:
        async for message in near:
            await far.send_str(message.data)
        await far.close()

    async def back() -> None:
        async for message in far:
            await near.send_str(message.data)
        await near.close(code=far.close_code or 1000)

    await asyncio.gather(forth(), back(), return_exceptions=True)
    return near

"""asyncio and all I/O of the client: driver, links, registry, buffers, and the transport over aiohttp."""

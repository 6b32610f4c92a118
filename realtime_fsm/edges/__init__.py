"""The edges: the driver, the aiohttp transport, the subscription's inbox, the audit sink."""

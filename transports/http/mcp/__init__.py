"""The MCP server (Model Context Protocol): the main job for programs that speak it, over POST /mcp.

`protocol` is the wire, `tools` what can be done; each tool asks the operations of the REST API, as the caller.
"""

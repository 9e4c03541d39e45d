"""The AuthZEN Authorization API 1.0 on the wire; pure: bytes and values in, queries and answers out.

https://openid.net/specs/authorization-api-1_0.html
"""

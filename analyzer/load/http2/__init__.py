"""HTTP/2 as a gRPC client needs it, without sockets: bytes in, and what they mean and bytes out."""

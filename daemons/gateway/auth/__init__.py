"""The credentials of requests and sockets: tokens, published keys, and one-time tickets."""

"""`python -m daemons.gateway`."""

from functools import partial

from daemons._process import argument_parser, main
from daemons.gateway.app import serve

parser = argument_parser("gateway")
parser.add_argument("--fd", type=int, help="an inherited listening socket, instead of [gateway] host and port")
arguments = parser.parse_args()
main("gateway", partial(serve, fd=arguments.fd), arguments)

"""`python -m daemons.gateway`."""

from functools import partial

from daemons._process import argument_parser, main
from daemons.gateway.app import serve
from msgctl import notify

parser = argument_parser("gateway")
parser.add_argument(
    "--fd",
    type=int,
    default=notify.inherited_socket(),
    help="an inherited listening socket, instead of [gateway] host and port; the one that systemd passes is taken",
)
arguments = parser.parse_args()
main("gateway", partial(serve, fd=arguments.fd), arguments)

"""The entry point of the gateway, `python -m daemons.gateway`."""

from functools import partial

from daemons.gateway.app import serve
from daemons.runtime.lifecycle import argument_parser, main
from msgctl.observability import sd_notify

parser = argument_parser("gateway")
parser.add_argument(
    "--fd",
    type=int,
    default=sd_notify.inherited_socket_fd(),
    help="inherited listening socket instead of [gateway] host and port; default: the socket that systemd passes",
)
arguments = parser.parse_args()
main("gateway", partial(serve, fd=arguments.fd), arguments)

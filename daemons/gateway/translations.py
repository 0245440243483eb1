"""The texts for people in the languages of `gateway.locale`. Fields and codes are the same in all of them."""

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.errors import MsgctlError


class Texts(msgspec.Struct, frozen=True):
    """The texts of one language."""

    accepted: str
    estimated_time: str
    queued: str
    going_away: str
    missed: str
    errors: dict[str, str]
    """By error code. The message of the error itself is for operators and may name hosts."""

    def error_text(self, error: MsgctlError) -> str:
        """Return the text of an error for clients."""
        return self.errors.get(error.code, self.errors[MsgctlError.code])


def select_texts(settings: Settings) -> Texts:
    """Return the texts of the configured language."""
    return _TEXTS[settings.gateway.locale]


_TEXTS = {
    "pt-BR": Texts(
        accepted="Mensagem recebida e em processamento",
        estimated_time="5-30 segundos",
        queued="Mensagem recebida, processando...",
        going_away="Servidor reiniciando: reconecte e envie resume",
        missed="Respostas podem ter se perdido: reconecte e envie resume",
        errors={
            "bad_json": "O conteúdo enviado não é JSON válido em UTF-8.",
            "validation_error": "Há campos inválidos nos dados enviados.",
            "body_too_large": "O corpo da requisição é grande demais.",
            "unsupported_media_type": "O corpo da requisição deve ser application/json.",
            "unauthorized": "Token ausente, inválido ou expirado.",
            "channel_not_granted": "Você não pode enviar por este canal ou por este remetente.",
            "channel_not_configured": "Este canal não está configurado.",
            "not_found": "Não encontrado.",
            "method_not_allowed": "Método não permitido nesta rota.",
            "upgrade_required": "Esta rota aceita apenas WebSocket.",
            "bad_request": "A requisição HTTP é inválida.",
            "conflict": "Este identificador já foi usado para outra mensagem.",
            "too_many_requests": "Limite atingido. Tente de novo em instantes.",
            "unavailable": "Serviço indisponível no momento. Tente de novo em instantes.",
            "redis_unavailable": "A fila está indisponível no momento. Tente de novo em instantes.",
            "postgres_unavailable": "Serviço indisponível no momento. Tente de novo em instantes.",
            "reply_too_long": "A resposta é grande demais para ser mostrada aqui.",
            "message_failed": "Não foi possível responder a esta mensagem.",
            "internal_error": "Erro interno.",
        },
    ),
    "en": Texts(
        accepted="Message received and being processed",
        estimated_time="5-30 seconds",
        queued="Message received, processing...",
        going_away="Server restarting: reconnect and send resume",
        missed="Replies may have been missed: reconnect and send resume",
        errors={
            "bad_json": "The data sent is not valid JSON in UTF-8.",
            "validation_error": "Some fields of the data sent are invalid.",
            "body_too_large": "The request body is too large.",
            "unsupported_media_type": "The request body must be application/json.",
            "unauthorized": "The token is missing, invalid, or expired.",
            "channel_not_granted": "You may not send through this channel or this sender.",
            "channel_not_configured": "This channel is not configured.",
            "not_found": "Not found.",
            "method_not_allowed": "This route does not support this method.",
            "upgrade_required": "This route accepts only WebSocket.",
            "bad_request": "The HTTP request is invalid.",
            "conflict": "This identifier is already used by another message.",
            "too_many_requests": "A limit was reached. Try again shortly.",
            "unavailable": "The service is unavailable. Try again shortly.",
            "redis_unavailable": "The queue is unavailable. Try again shortly.",
            "postgres_unavailable": "The service is unavailable. Try again shortly.",
            "reply_too_long": "The reply is too large to be shown here.",
            "message_failed": "This message could not be answered.",
            "internal_error": "Internal error.",
        },
    ),
}

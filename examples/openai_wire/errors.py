"""Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}` and a status."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class WireError(Exception):
    """A failure that the client is to see, with the status and the fields OpenAI would send.

    Raise it anywhere below `chat_app`. The defaults describe a mistake of the caller.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the fields of the error body; `headers` may hold for instance `retry-after`."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The HTTP response that carries this error."""
        fields = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return JSONResponse({"error": fields}, status_code=self.status, headers=self.headers)

"""Validates a transport's own options and converts them to its Config."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from transports.errors import SettingError, describe_unknown

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def parse_options(transport: str, options: Mapping[str, Any], config: type[ConfigT]) -> ConfigT:
    """Returns ``options`` as a ``config`` of the transport of this name.

    Raises SettingError, which suggests the nearest known name for an unknown one.
    """
    try:
        return msgspec.convert(dict(options), config)
    except msgspec.ValidationError as error:
        fields = {field.name: field.type for field in msgspec.structs.fields(config)}
        for key in options:
            if key not in fields:
                raise SettingError(
                    describe_unknown(f"setting of {transport}", key, tuple(fields)), code="unknown-option"
                ) from error
        choices = getattr(fields.get("client"), "__args__", ())
        if choices and options.get("client", choices[0]) not in choices:
            raise SettingError(
                describe_unknown(f"client of {transport}", str(options["client"]), choices), code="unknown-client"
            ) from error
        raise SettingError(f"a setting of {transport} cannot be honoured: {error}", code="bad-option") from error

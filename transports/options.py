"""A transport's own settings, checked: from ``Setting.options`` to its ``Config``."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from transports.errors import SettingError, unknown

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def config_from(transport: str, options: Mapping[str, Any], config: type[ConfigT]) -> ConfigT:
    """``options`` as the ``config`` of the transport of this name.

    Raises SettingError, with the nearest right name for what it does not know.
    """
    try:
        return msgspec.convert(dict(options), config)
    except msgspec.ValidationError as error:
        fields = {field.name: field.type for field in msgspec.structs.fields(config)}
        for key in options:
            if key not in fields:
                raise SettingError(
                    unknown(f"setting of {transport}", key, tuple(fields)), code="unknown-option"
                ) from error
        choices = getattr(fields.get("client"), "__args__", ())
        if choices and options.get("client", choices[0]) not in choices:
            raise SettingError(
                unknown(f"client of {transport}", str(options["client"]), choices), code="unknown-client"
            ) from error
        raise SettingError(f"a setting of {transport} cannot be honoured: {error}", code="bad-option") from error

"""Expands a profile into its cells: which method, with which client, codec and compression, at which levels."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bench.errors import UsageError, unknown_word
from bench.profile.fault import BROKER
from bench.profile.interpreters import OWN
from bench.profile.schema import Cell, CellSettings, Profile
from bench.profile.yardstick import list_yardsticks
from bench.results.settings import SETTINGS, settings_by_key
from bench.results.settings import factors as factor_keys
from transports import registry
from transports.base import Traits
from transports.errors import SettingError
from transports.options import parse_options
from transports.security import NONE
from transports.wire import list_codecs

METHOD_KEYS = frozenset(spec.key for spec in SETTINGS.values() if spec.role == "method")
"""Factors whose level stands in the method's name, and not behind the @."""


def expand_cells(profile: Profile) -> list[CellSettings]:
    """What is measured in every round: in the order of the profile's transports, and each at every rate.

    A cell of ``also`` comes right after its transport's own. It is left out when a codec is given, which all cells then
    use, and when TRANSPORT= asks for one transport alone, since then there is nothing to confuse. The yardstick comes
    last. Raises UsageError.
    """
    if profile.designed:
        return [settings_for(profile, cell) for cell in profile.designed]
    found = [cell for method in expand_methods(profile) for cell in _at_rates(method, profile.rates_per_s)]
    if profile.arms == 2:
        found = [replace(cell, name=f"{cell.name}@{arm}") for cell in found for arm in "ab"]
    return [settings_for(profile, cell) for cell in (*found, *list_yardsticks(profile, found))]


def settings_for(profile: Profile, cell: Cell) -> CellSettings:
    """A cell of this profile with the profile as it is there."""
    if cell.levels:
        profile = msgspec.convert({**msgspec.to_builtins(profile), **cell.levels}, Profile)
    return CellSettings(cell, profile)


def _at_rates(cell: Cell, rates_per_s: Sequence[float]) -> list[Cell]:
    """The same method at each of these rates; a single one is not in its name."""
    if len(rates_per_s) == 1:
        return [replace(cell, rate_per_s=rates_per_s[0])]
    return [replace(cell, name=f"{cell.name}@{rate_per_s:g}", rate_per_s=rate_per_s) for rate_per_s in rates_per_s]


def expand_methods(profile: Profile) -> list[Cell]:
    """What is measured, whatever the rate. Raises UsageError."""
    found: list[Cell] = []
    alone = profile.by_name and len(profile.transports) == 1
    for transport in profile.transports:
        found.append(_cell(profile, transport, profile.codec, profile.compression, backend=profile.backend))
        for extra in () if alone or profile.codec is not None else profile.also:
            named, *means = extra.split("+")
            name, _, client = named.partition(":")
            if name == transport:
                backend = next((one for one in means if one in registry.list_backends(transport)), profile.backend)
                codec = next((one for one in means if one in list_codecs()), None)
                left = [one for one in means if one not in {codec, backend}]
                known = SETTINGS["COMPRESSION"].choices
                if unknown := [one for one in left if one not in known]:
                    raise unknown_word(f"codec or compression of {name}", unknown[0], (*list_codecs(), *known))
                compression = left[0] if left else profile.compression
                found.append(_cell(profile, transport, codec, compression, client, backend))
    return list({cell.name: cell for cell in found}.values())


def _cell(
    profile: Profile, transport: str, codec: str | None, compression: str, client: str = "", backend: str = ""
) -> Cell:
    try:
        kind = registry.select_transport(transport, backend)
        own = registry.load_transport(transport).product
    except SettingError as error:
        raise UsageError(str(error), code=error.code) from error
    _check_traits(profile, transport, kind.traits, codec, compression)
    if profile.interpreter != OWN and not kind.__module__.startswith("transports."):
        raise UsageError(
            f"{transport} is a distribution of its own, which is not installed for other interpreters; leave it out of "
            "TRANSPORT=",
            code="interpreter-without-method",
        )
    has_client = "client" in kind.Config.__annotations__
    options = dict(profile.options.get(transport, {}))
    for key, option in _OF_CONFIG.items():
        if (value := getattr(profile, key)) and option in kind.Config.__annotations__:
            options.setdefault(option, value)
    if transport in profile.clients:
        if not has_client:
            raise UsageError(
                f"transport {transport!r} has no choice of client; leave it out of CLIENT=", code="no-client-choice"
            )
        options["client"] = profile.clients[transport]
    if client:
        options["client"] = client
    try:
        config: object = parse_options(transport, options, kind.Config)
        default: object = parse_options(transport, {}, kind.Config)
    except SettingError as error:
        raise UsageError(str(error), code=error.code) from error
    client = str(getattr(config, "client", transport))
    codec = codec or kind.traits.codec
    name = transport
    if has_client and client != getattr(default, "client", None):
        name += f":{client}"
    if kind.product != own:
        name += f"+{kind.product}"
    if codec != kind.traits.codec:
        name += f"+{codec}"
    if compression != "none":
        name += f"+{compression}"
    return Cell(
        name=name,
        transport=transport,
        product=kind.product if registry.list_backends(transport) else "",
        client=client,
        codec=codec,
        compression=compression,
        rate_per_s=profile.rates_per_s[0],
        options=options,
    )


def _check_traits(profile: Profile, transport: str, traits: Traits, codec: str | None, compression: str) -> None:
    """Raises UsageError for what is asked of a method that it does not promise."""
    if codec is not None and traits.codecs is not None and codec not in traits.codecs:
        raise unknown_word(f"codec of {transport}", codec, tuple(sorted(traits.codecs)))
    if traits.largest_bytes is not None and profile.max_message_bytes > traits.largest_bytes:
        raise UsageError(
            f"{transport} takes {traits.largest_bytes:,} bytes at once; lower MAX_MESSAGE or leave it out of "
            "TRANSPORT=",
            code="message-too-large",
        )
    known = ("none", *sorted(traits.compressions))
    if compression not in known:
        raise unknown_word(f"compression of {transport}", compression, known)
    if profile.security not in (levels := (NONE, *sorted(traits.securities))):
        raise unknown_word(f"security of {transport}", profile.security, levels)
    if profile.fault is not None and profile.fault.part == BROKER and not traits.needs:
        raise UsageError(
            f"{transport} has no broker that could be away; leave it out of TRANSPORT=", code="fault-without-broker"
        )
    if profile.fault is not None and traits.in_process:
        raise UsageError(
            f"{transport} has no processes that could be away; leave it out of TRANSPORT=", code="fault-without-process"
        )
    if profile.interpreter != OWN and traits.in_process:
        raise UsageError(
            f"{transport} has no service processes, so that it has no interpreter of its own; leave it out of "
            "TRANSPORT=",
            code="interpreter-without-process",
        )
    if profile.processes > 1 and not traits.scales:
        raise UsageError(
            f"{transport} does not share a service's orders among processes; leave PROCESSES out",
            code="processes-not-shared",
        )


Resolve = Callable[[Mapping[str, Any]], Profile]
"""A profile with these raw settings over the file's. Raises UsageError."""


def expand_design(base: Profile, blocks: Sequence[Mapping[str, Any]], resolve: Resolve) -> Iterator[Cell]:
    """Every combination of the levels in each block, for every transport; one that two blocks have, once.

    A list is a factor, and a table of lists one whose levels differ by transport: a transport that it leaves out is not
    in the block. Anything else in a block holds for all its cells. Raises UsageError for a combination that cannot be,
    by its name.
    """
    seen: dict[str, Cell] = {}
    known_factors = factor_keys()
    for number, block in enumerate(blocks, 1):
        factors = {key: levels for key, levels in block.items() if isinstance(levels, list | Mapping)}
        constants = {key: value for key, value in block.items() if key not in factors}
        if not factors:
            raise UsageError(
                f"block {number} of profile {base.name!r} has no factor; give one, for instance payload",
                code="no-factor",
            )
        for key in factors:
            if key not in known_factors:
                raise unknown_word("factor", key, known_factors)
        for transport in base.transports:
            chosen = {key: _levels(key, levels, transport) for key, levels in factors.items()}
            if any(levels is None for levels in chosen.values()):
                continue
            for combination in itertools.product(*(levels or () for levels in chosen.values())):
                given = dict(zip(chosen, combination, strict=True))
                cell = _combined(base, transport, given, constants, resolve)
                known = seen.setdefault(cell.name, cell)
                if msgspec.to_builtins(known) != msgspec.to_builtins(cell):
                    raise UsageError(
                        f"two blocks of profile {base.name!r} say different things of cell {cell.name}",
                        code="two-blocks-one-cell",
                    )
                if known is cell:
                    yield cell


def _levels(key: str, levels: Any, transport: str) -> Sequence[Any] | None:
    if isinstance(levels, Mapping):
        levels = levels.get(transport)
    if levels is None:
        return None
    if not isinstance(levels, list) or not levels:
        raise UsageError(
            f"factor {key} takes a list of levels, or a table of lists by transport, not {levels!r}", code="bad-levels"
        )
    for level in levels:
        if not _LEVEL.fullmatch(str(level)):
            raise UsageError(
                f"a level of {key} is a word or a number, for it becomes part of a name; not {level!r}",
                code="bad-level",
            )
    return levels


def _combined(
    base: Profile, transport: str, given: Mapping[str, Any], constants: Mapping[str, Any], resolve: Resolve
) -> Cell:
    asked = {**constants, **given, "transports": [transport]}
    if "clients" in given:
        asked["clients"] = {transport: given["clients"]}
    try:
        if "backend" in given:
            registry.load_transport(transport, given["backend"])
        profile = resolve(asked)
        (cell, *_) = expand_methods(profile)
    except (UsageError, SettingError) as error:
        named = ", ".join(f"{key} {level}" for key, level in given.items())
        raise UsageError(f"{transport} with {named} cannot be: {error}", code=error.code) from error
    annotations, keys = cell.kind.Config.__annotations__, settings_by_key()
    for key, option in _OF_CONFIG.items():
        if given.get(key) and option not in annotations:
            raise UsageError(
                f"{transport} has no {key}, so that it cannot be varied; leave it out of the block",
                code="factor-without-effect",
            )
    now, was = msgspec.to_builtins(profile), msgspec.to_builtins(base)
    levels = {key: value for key, value in now.items() if value != was[key] and key not in _NO_LEVELS}
    behind = "_".join(keys[key].label + str(level) for key, level in given.items() if key not in METHOD_KEYS)
    return replace(cell, name=f"{cell.name}@{behind}" if behind else cell.name, levels=levels)


_LEVEL = re.compile(r"[A-Za-z0-9.+-]+")
_OF_CONFIG = {"retries": "retries", "keep_alive_s": "idle_s"}
"""Keys of a profile that only methods with such an option heed."""
_NO_LEVELS = METHOD_KEYS | {"name", "transports", "by_name", "also", "rates_per_s", "designed"}
"""Fields of Profile that stand in the cell itself."""

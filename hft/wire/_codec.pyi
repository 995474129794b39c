from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hft.wire.layout import View

R = TypeVar("R", bound=tuple[Any, ...])

class Codec(Generic[R]):
    def __init__(
        self,
        record: type[R],
        template: bytes,
        size: int,
        fields: tuple[tuple[str, str, int, int, bool], ...],
        refuse: Callable[[View, tuple[object, ...]], Exception],
        decode_foreign: Callable[[View], R],
        verify_foreign: Callable[[View], None],
        read_foreign: Callable[[View, tuple[str, ...]], tuple[Any, ...]],
        /,
    ) -> None: ...
    encode_into: Callable[..., int]
    def decode(self, view: View, /) -> R: ...
    def verify(self, view: View, /) -> None: ...
    def reader(self, names: tuple[str, ...], single: bool, /) -> Callable[[View], Any]: ...

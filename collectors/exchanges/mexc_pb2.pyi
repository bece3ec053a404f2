from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BookTicker(_message.Message):
    __slots__ = ("bidPrice", "bidQuantity", "askPrice", "askQuantity", "version", "lastOrderCreateTime")
    BIDPRICE_FIELD_NUMBER: _ClassVar[int]
    BIDQUANTITY_FIELD_NUMBER: _ClassVar[int]
    ASKPRICE_FIELD_NUMBER: _ClassVar[int]
    ASKQUANTITY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LASTORDERCREATETIME_FIELD_NUMBER: _ClassVar[int]
    bidPrice: str
    bidQuantity: str
    askPrice: str
    askQuantity: str
    version: str
    lastOrderCreateTime: int
    def __init__(self, bidPrice: _Optional[str] = ..., bidQuantity: _Optional[str] = ..., askPrice: _Optional[str] = ..., askQuantity: _Optional[str] = ..., version: _Optional[str] = ..., lastOrderCreateTime: _Optional[int] = ...) -> None: ...

class BookTickerBatch(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BookTicker]
    def __init__(self, items: _Optional[_Iterable[_Union[BookTicker, _Mapping]]] = ...) -> None: ...

class Deal(_message.Message):
    __slots__ = ("price", "quantity", "tradeType", "time", "tradeId")
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TRADETYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRADEID_FIELD_NUMBER: _ClassVar[int]
    price: str
    quantity: str
    tradeType: int
    time: int
    tradeId: str
    def __init__(self, price: _Optional[str] = ..., quantity: _Optional[str] = ..., tradeType: _Optional[int] = ..., time: _Optional[int] = ..., tradeId: _Optional[str] = ...) -> None: ...

class Deals(_message.Message):
    __slots__ = ("deals",)
    DEALS_FIELD_NUMBER: _ClassVar[int]
    deals: _containers.RepeatedCompositeFieldContainer[Deal]
    def __init__(self, deals: _Optional[_Iterable[_Union[Deal, _Mapping]]] = ...) -> None: ...

class DepthLevel(_message.Message):
    __slots__ = ("price", "quantity")
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    price: str
    quantity: str
    def __init__(self, price: _Optional[str] = ..., quantity: _Optional[str] = ...) -> None: ...

class DepthChanges(_message.Message):
    __slots__ = ("asks", "bids", "fromVersion", "toVersion")
    ASKS_FIELD_NUMBER: _ClassVar[int]
    BIDS_FIELD_NUMBER: _ClassVar[int]
    FROMVERSION_FIELD_NUMBER: _ClassVar[int]
    TOVERSION_FIELD_NUMBER: _ClassVar[int]
    asks: _containers.RepeatedCompositeFieldContainer[DepthLevel]
    bids: _containers.RepeatedCompositeFieldContainer[DepthLevel]
    fromVersion: str
    toVersion: str
    def __init__(self, asks: _Optional[_Iterable[_Union[DepthLevel, _Mapping]]] = ..., bids: _Optional[_Iterable[_Union[DepthLevel, _Mapping]]] = ..., fromVersion: _Optional[str] = ..., toVersion: _Optional[str] = ...) -> None: ...

class Depth(_message.Message):
    __slots__ = ("asks", "bids", "version")
    ASKS_FIELD_NUMBER: _ClassVar[int]
    BIDS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    asks: _containers.RepeatedCompositeFieldContainer[DepthLevel]
    bids: _containers.RepeatedCompositeFieldContainer[DepthLevel]
    version: str
    def __init__(self, asks: _Optional[_Iterable[_Union[DepthLevel, _Mapping]]] = ..., bids: _Optional[_Iterable[_Union[DepthLevel, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("channel", "symbol", "sendTime", "publicDeals", "publicLimitDepths", "publicBookTicker", "publicBookTickerBatch", "publicAggreDepths", "publicAggreDeals", "publicAggreBookTicker")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SENDTIME_FIELD_NUMBER: _ClassVar[int]
    PUBLICDEALS_FIELD_NUMBER: _ClassVar[int]
    PUBLICLIMITDEPTHS_FIELD_NUMBER: _ClassVar[int]
    PUBLICBOOKTICKER_FIELD_NUMBER: _ClassVar[int]
    PUBLICBOOKTICKERBATCH_FIELD_NUMBER: _ClassVar[int]
    PUBLICAGGREDEPTHS_FIELD_NUMBER: _ClassVar[int]
    PUBLICAGGREDEALS_FIELD_NUMBER: _ClassVar[int]
    PUBLICAGGREBOOKTICKER_FIELD_NUMBER: _ClassVar[int]
    channel: str
    symbol: str
    sendTime: int
    publicDeals: Deals
    publicLimitDepths: Depth
    publicBookTicker: BookTicker
    publicBookTickerBatch: BookTickerBatch
    publicAggreDepths: DepthChanges
    publicAggreDeals: Deals
    publicAggreBookTicker: BookTicker
    def __init__(self, channel: _Optional[str] = ..., symbol: _Optional[str] = ..., sendTime: _Optional[int] = ..., publicDeals: _Optional[_Union[Deals, _Mapping]] = ..., publicLimitDepths: _Optional[_Union[Depth, _Mapping]] = ..., publicBookTicker: _Optional[_Union[BookTicker, _Mapping]] = ..., publicBookTickerBatch: _Optional[_Union[BookTickerBatch, _Mapping]] = ..., publicAggreDepths: _Optional[_Union[DepthChanges, _Mapping]] = ..., publicAggreDeals: _Optional[_Union[Deals, _Mapping]] = ..., publicAggreBookTicker: _Optional[_Union[BookTicker, _Mapping]] = ...) -> None: ...

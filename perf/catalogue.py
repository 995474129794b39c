"""The shapes, by name."""

from perf.engine import Shape
from perf.shapes import (
    codec,
    codec_handoff,
    counters,
    feed,
    gc_pause,
    kill_propagation,
    one_to_one_throughput,
    one_to_three_multicast,
    parked_handoff,
    ping_pong,
    placement,
    quotes,
    routes,
    sidecar_isolation,
    sidecar_publishing,
    simnet,
    table_read,
    template,
    three_hop_pipeline,
    tick_to_trade,
)

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        ping_pong.SHAPE,
        one_to_one_throughput.SHAPE,
        one_to_three_multicast.SHAPE,
        three_hop_pipeline.SHAPE,
        parked_handoff.SHAPE,
        kill_propagation.SHAPE,
        table_read.SHAPE,
        counters.SHAPE,
        gc_pause.SHAPE,
        codec.ENCODE,
        codec.DECODE,
        codec.READ_3_FIELDS,
        codec.SIZE,
        codec_handoff.SHAPE,
        *quotes.SHAPES,
        routes.DECODE,
        routes.SCREEN,
        routes.SIZE,
        sidecar_publishing.THROUGHPUT,
        sidecar_publishing.LATENCY,
        sidecar_isolation.SHAPE,
        template.SHAPE,
        *simnet.SHAPES,
        feed.SHAPE,
        placement.SHAPE,
        tick_to_trade.SHAPE,
    )
}
